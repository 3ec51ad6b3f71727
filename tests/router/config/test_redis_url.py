"""What is wrong with a URL of Redis is named, and its password never."""

from __future__ import annotations

import pytest

from router.config.redis_url import mistakes_in
from router.config.schema import RedisSection

SECRET = "hunter2-secret"
WRONG = {
    "redis://127.0.0.1:1/0?sokcet_timeout=1": "did you mean socket_timeout",
    "redis://127.0.0.1:1?db=abc": "db",
    "redis://127.0.0.1:1/abc": "number of the database",
    "redis://127.0.0.1:notaport": "PORT",
    "redis://127.0.0.1:70000": "65535",
    "redis://": "name a host",
    f"redis://:{SECRET}@:6379": "name a host",
    f"http://u:{SECRET}@h:1": "redis://HOST:PORT",
    f"redis://u:{SECRET}/x@h:1": "percent-encoded",
    f"redis://u:1?{SECRET}@h:1": "percent-encoded",
    f"redis://:{SECRET}@h:1?ssl_cert_reqs=none": "needs rediss://",
    f"rediss://:{SECRET}@h:1?ssl_ca_certs=/no/such/file": "can be read",
    f"redis://:{SECRET}@h:1?protocol=3": "no option protocol",
    f"redis://:{SECRET}@h:1?socket_timeout=soon": "number of seconds",
    f"redis://:{SECRET}@h:1?db=1&db=2": "once",
    f"redis://:{SECRET}@h:1?db=": "whole number",
    "unix://": "whole path",
    "unix://tmp/redis.sock": "whole path",
    " redis://h:1": "spaces",
}


@pytest.mark.parametrize("url", WRONG)
def test_a_mistake_is_named_without_the_password(url: str) -> None:
    [fix] = mistakes_in(url)
    assert WRONG[url] in fix
    assert SECRET not in fix


@pytest.mark.parametrize(
    "url",
    [
        "redis://h",
        "redis://h:6379/15",
        "redis://[::1]:6379",
        f"redis://u:{SECRET}@h:6379/0?socket_keepalive=true&client_name=me",
        "redis://:p%2Fw%3F%23%40@h",
        "rediss://h?ssl_cert_reqs=none&ssl_check_hostname=false",
        "unix:///run/redis.sock?db=1",
        "redis://h?db=3&socket_timeout=0.5&health_check_interval=10",
    ],
)
def test_what_the_driver_takes_is_taken(url: str) -> None:
    assert list(mistakes_in(url)) == []


@pytest.mark.parametrize("node", ["h:1", "10.0.0.1:26379", "[::1]:26379", "a-b.c_d.svc:6379"])
def test_nodes_are_host_and_port(node: str) -> None:
    section = RedisSection.model_validate({"cluster": {"nodes": [node]}})
    assert section.cluster is not None


@pytest.mark.parametrize("node", ["h", "redis://h:1", ":1", "h:port", "u:p@h:1"])
def test_anything_else_is_none(node: str) -> None:
    with pytest.raises(ValueError, match="nodes"):
        RedisSection.model_validate({"sentinel": {"nodes": [node], "service": "s"}})
