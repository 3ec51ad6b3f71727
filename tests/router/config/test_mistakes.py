"""Every mistake at once, each with its line, its key and what to write."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from router.config import load_config, parse_config
from router.domain.catalog import PROVIDERS
from router.domain.errors import ConfigInvalid, ConfigProblem

PROTOCOLS = " or ".join(", ".join(map(repr, PROVIDERS)).rsplit(", ", 1))
ENV = {"CHEAP_KEY": "made-up-key", "REDIS_URL": "redis://127.0.0.1:6379/0"}
WELL_FORMED = """\
arms:
  cheap:
    deployments:
      - name: mini
        provider: openai
        model: some-model
        api_key_env: CHEAP_KEY
        price: {input_usd_per_mtok: 0.1, output_usd_per_mtok: 0.4}
  reasoning:
    deployments:
      - name: big
        provider: anthropic
        model: other-model
        price: {input_usd_per_mtok: 3, output_usd_per_mtok: 15}
"""

NODE_0 = "redis.sentinel.nodes.0"


def problems(text: str, env: Mapping[str, str] = ENV) -> list[ConfigProblem]:
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(text, "router.yaml", env)
    return list(caught.value.problems)


def only_problem(text: str, env: Mapping[str, str] = ENV) -> ConfigProblem:
    found = problems(text, env)
    assert len(found) == 1, found
    return found[0]


def test_every_mistake_is_named_at_once_in_the_order_of_lines() -> None:
    text = """\
arms:
  cheap:
    deployments:
      - name: a
        provider: opnai
        modle: m
        price: {input_usd_per_mtok: -1, output_usd_per_mtok: x}
  reasoning: {deployments: []}
plans:
  p: [cheap, raesoning, cheap]
  q: []
polcy: {}
policy: {weights: {quality: 11}, cold_start: nope}
fallback: fb
cache: {enabled: 5}
server: {port: 70000}
"""
    found = [(p.line, p.key, p.fix) for p in problems(text)]
    assert found == [
        (4, "arms.cheap.deployments.0.model", "add this key"),
        (5, "arms.cheap.deployments.0.provider", f"write one of {PROTOCOLS}"),
        (6, "arms.cheap.deployments.0.modle", "no such key: did you mean model?"),
        (7, "arms.cheap.deployments.0.price.input_usd_per_mtok", "write a number >= 0"),
        (7, "arms.cheap.deployments.0.price.output_usd_per_mtok", "write a number"),
        (8, "arms.reasoning.deployments", "list at least 1"),
        (10, "plans.p.1", "name one of the arms: cheap, reasoning; did you mean reasoning?"),
        (10, "plans.p.2", "name every arm once in a plan"),
        (11, "plans.q", "list at least 1"),
        (12, "polcy", "no such key: did you mean policy?"),
        (13, "policy.cold_start", "name one of the plans: p, q"),
        (13, "policy.weights.quality", "write a number <= 10"),
        (14, "fallback", "name one of the arms: cheap, reasoning"),
        (15, "cache.enabled", "write true or false"),
        (16, "server.port", "write a number <= 65535"),
    ]


def test_an_unknown_key_without_a_neighbour_lists_what_is_known() -> None:
    found = only_problem(WELL_FORMED + "attempts: {zzz: 1}\n")
    assert found.fix == ("no such key: take it out (known here: max_per_request, min_remaining_ms)")


@pytest.mark.parametrize(
    ("addition", "key", "words"),
    [
        ("plans: {p: [cheap, reasoning, cheap, reasoning, cheap]}", "plans.p", "at most 4"),
        ("plans: {p: cheap}", "plans.p", "write a list"),
        ("plans: {'a b': [cheap]}", "plans.a b", "letters, digits"),
        ("redis: {sentinel: {nodes: [127.0.0.1], service: s}}", NODE_0, "HOST:PORT"),
        ("redis: {cluster: {nodes: ['redis://h:1']}}", "redis.cluster.nodes.0", "HOST:PORT"),
        ("providers: {proxy: 'socks5://h:1'}", "providers.proxy", "SOCKS is not spoken"),
        ("providers: {proxy: '127.0.0.1:3128'}", "providers.proxy", "http://HOST:PORT"),
        ("providers: {proxy: nonee}", "providers.proxy", "environment or none"),
        ("plans: {cheap: [cheap, reasoning]}", "plans.cheap", "give it another name"),
        ("plans: {p: {rungs: cheap}}", "plans.p.rungs", "write a list"),
        ("plans: {p: {rungs: []}}", "plans.p.rungs", "list at least 1"),
        ("plans: {p: {gate: learned}}", "plans.p.rungs", "add this key"),
        ("plans: {p: {rungs: [cheap, raesoning]}}", "plans.p.rungs.1", "did you mean"),
        ("plans: {p: {rungs: [cheap, reasoning], gate: lerned}}", "plans.p.gate", "write one of"),
        ("plans: {p: {rungs: [cheap]}}", "plans.p.rungs", "list an arm above the first"),
        ("plans: {p: {rungs: [cheap, reasoning], gate: agreement}}", "plans.p.second", "name the"),
        ("plans: {p: {rungs: [cheap, reasoning], second: x}}", "plans.p.second", "one of the arms"),
        (
            "plans: {p: {rungs: [cheap, reasoning], second: cheap}}",
            "plans.p.second",
            "none of the rungs",
        ),
        (
            "plans: {p: {rungs: [cheap], second: reasoning, gate: rules}}",
            "plans.p.second",
            "take it out",
        ),
        ("plans: {p: {rungs: [cheap, reasoning], secnd: x}}", "plans.p.secnd", "did you mean"),
        ("judging: {judge: raesoning}", "judging.judge", "one of the arms"),
        ("judging: {audit_share: 2}", "judging.audit_share", "<= 1"),
        ("judging: {verifier: {timeout_ms: 5}}", "judging.verifier.url", "add this key"),
        ("judging: {verifier: {url: 'ftp://h'}}", "judging.verifier.url", "http://"),
        (
            "judging: {verifier: {url: 'http://h', accpt_at: 1}}",
            "judging.verifier.accpt_at",
            "mean",
        ),
        ("judging: {verifier: {url: 'http://u:hunter2@h'}}", "judging.verifier.url", "password"),
        ("server: 3", "server", "keys and values"),
        ("server: {port: 9480}", "server.metrics_port", "another port"),
        ("server: {max_in_flight: 0}", "server.max_in_flight", ">= 1"),
        ("server: {tenant_share: 0}", "server.tenant_share", ">= 0.05"),
        ("server: {max_body_bytes: 1000}", "server.max_body_bytes", "max_message_bytes"),
        ("server: {max_body_bytes: 8388607}", "server.max_body_bytes", "twice"),
        ("server: {drain_ms: 1.5}", "server.drain_ms", "whole number"),
        ("policy: {name: greedy}", "policy.name", "write one of 'adaptive'"),
        ("policy: {weights: {cost: .nan}}", "policy.weights.cost", "number"),
        ("policy: {cost_unit_usd: 0}", "policy.cost_unit_usd", "> 0"),
        ("auth: {admin_key_env: NOT_SET}", "auth.admin_key_env", "set the environment variable"),
        ("policy: {observe: raesoning}", "policy.observe", "did you mean"),
        (
            "policy: {observe: cheap}\nplans: {p: [cheap, reasoning]}",
            "policy.observe",
            "of cheap alone",
        ),
        ("policy: {cold_start: cheap-then-raesoning}", "policy.cold_start", "did you mean"),
        ("cache: {semantic_threshold: 0.2}", "cache.semantic_threshold", "> 0.5"),
        ("health: {cooldown_ms: 90000}", "health.max_cooldown_ms", "at least cooldown_ms"),
        ("learning: {implicit_weight: 2}", "learning.implicit_weight", "<= 1"),
        ("redis: {url: 'http://h'}", "redis.url", "redis://HOST:PORT"),
        ("redis: {url_env: NOT_SET}", "redis.url_env", "set the environment variable NOT_SET"),
        ("redis: {url_env: CHEAP_KEY}", "redis.url_env", "redis://HOST:PORT"),
        ("redis: {url_env: REDIS_URL, url: 'redis://h'}", "redis.url_env", "keep either"),
        ("redis: {url: 'redis://:hunter2@h'}", "redis.url", "take the password out"),
        (
            "redis: {url: 'redis://h', sentinel: {service: s, nodes: ['h:1']}}",
            "redis.sentinel",
            "keep one of",
        ),
        (
            "redis: {cluster: {nodes: ['h:1'], password_env: NOT_SET}}",
            "redis.cluster.password_env",
            "set the environment variable NOT_SET",
        ),
        ("redis: {cluster: {nodes: ['h:99999']}}", "redis.cluster.nodes.0", "from 1 to 65535"),
        ("redis: {cluster: {nodes: ['h:1'], ca_file: /no}}", "redis.cluster.ca_file", "can be"),
        ("redis: {url: 'redis://h?sokcet_timeout=1'}", "redis.url", "socket_timeout"),
        ("redis: {embedded: {appendfsync: never}}", "redis.embedded.appendfsync", "write one of"),
        ("cache: {ttl_s: 1}\ncache: {ttl_s: 2}", "cache", "write this key once"),
    ],
)
def test_one_mistake_one_fix(addition: str, key: str, words: str) -> None:
    found = [p for p in problems(WELL_FORMED + addition + "\n") if p.key == key]
    assert len(found) == 1
    assert words in found[0].fix


@pytest.mark.parametrize(
    ("line", "key", "words"),
    [
        ("base_url: ftp://host", "base_url", "starts with http://"),
        ("base_url: host:8000/v1", "base_url", "starts with http://"),
        ("base_url: https://host/v1?a=b", "base_url", "leave out"),
        ("base_url: https://host/v1#a", "base_url", "leave out"),
        ("base_url: https://api..host.org/v1", "base_url", "host name"),
        (f"base_url: https://{'a' * 64}.org/v1", "base_url", "host name"),
        ("base_url: https://u:hunter2@host/v1", "base_url", "take the password out"),
        ("max_output_tokens: 200000", "max_output_tokens", "at most context_window_tokens"),
        ("timeout_ms: true", "timeout_ms", "whole number"),
        ("api_key_file: /does/not/exist", "api_key_file", "can read"),
        ("api_key_file: /", "api_key_file", "can read"),
        ("name: mini", "name", "a name of its own"),
        ("name: ''", "name", "letters, digits"),
    ],
)
def test_mistakes_in_a_deployment(line: str, key: str, words: str) -> None:
    text = WELL_FORMED + f"        {line}\n"
    if key == "name":
        text = WELL_FORMED.replace("name: big", line)
    found = [p for p in problems(text) if p.key == f"arms.reasoning.deployments.0.{key}"]
    assert len(found) == 1
    assert words in found[0].fix


@pytest.mark.parametrize("content", [None, "", "no certificate"])
def test_authorities_are_a_file_of_certificates(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_text(content)
    found = problems(WELL_FORMED + f"providers: {{ca_file: '{file}'}}\n")
    assert [(p.key, "PEM" in p.fix) for p in found] == [("providers.ca_file", True)]


def test_two_sources_of_a_key_are_one_too_many(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("made-up\n")
    text = WELL_FORMED + f"        api_key_env: CHEAP_KEY\n        api_key_file: {file}\n"
    assert "keep either" in only_problem(text).fix


@pytest.mark.parametrize(
    "password", ["Tops3cret/Pw", "Tops3cret?Pw", "Tops3cret#Pw", "Tops3cret[Pw"]
)
def test_a_redis_password_that_is_not_encoded_is_not_quoted(password: str) -> None:
    env = {**ENV, "REDIS_URL": f"redis://:{password}@127.0.0.1:6390/0"}
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(WELL_FORMED + "redis: {url_env: REDIS_URL}\n", "router.yaml", env)
    assert [p.key for p in caught.value.problems] == ["redis.url_env"]
    assert "percent-encoded" in caught.value.problems[0].fix
    assert "Tops3cret" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("content", ["", "two words", "schlüssel", "a\nb"])
def test_a_key_that_no_header_can_carry(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    by_file = only_problem(WELL_FORMED + f"        api_key_file: {file}\n")
    assert "one line, no spaces" in by_file.fix
    by_env = only_problem(WELL_FORMED, {"CHEAP_KEY": content})
    assert by_env.key == "arms.cheap.deployments.0.api_key_env"


SECRETS = (
    "sk-abcdefghijklmnop",
    "gsk_abcdefghijklmnopqrst",
    "AIzaSyA123456789012345678901234567890",
    "hunter2hunter2",
)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("key", ["api_key", "api_key_env", "api_key_file", "apikey"])
def test_a_key_in_the_file_is_refused_and_never_repeated(key: str, secret: str) -> None:
    found = problems(WELL_FORMED + f"        {key}: {secret}\n")
    assert found
    assert all(p.key.startswith("arms.reasoning.deployments.0.") for p in found)
    assert secret not in "\n".join(map(str, found))


def test_a_key_in_any_other_place_is_refused_too() -> None:
    found = only_problem(WELL_FORMED.replace("other-model", "sk-abcdefghijklmnop"))
    assert found.key == "arms.reasoning.deployments.0.model"
    assert "take the key out" in found.fix


@pytest.mark.parametrize("text", ["", "- a\n", "3\n", "arms:\n", "arms: {}\n"])
def test_a_file_without_arms(text: str) -> None:
    assert problems(text)


def test_a_file_that_is_not_there_or_not_text(tmp_path: Path) -> None:
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00")
    missing = tmp_path / "missing.yaml"
    for path, fix in ((missing, "no such file"), (tmp_path, "UTF-8"), (binary, "UTF-8")):
        with pytest.raises(ConfigInvalid) as caught:
            load_config(path, ENV)
        assert caught.value.problems[0].file == str(path)
        assert fix in caught.value.problems[0].fix


def test_a_problem_reads_as_one_line() -> None:
    found = only_problem(WELL_FORMED + "atempts: {}\n")
    assert str(found) == "router.yaml:15: atempts: no such key: did you mean attempts?"
