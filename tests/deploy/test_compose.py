"""The compose file fits the specification, the config it mounts, and the files it provisions."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from router.app.process import END_S
from router.cli import main
from router.config import Config, parse_config
from router.observe.exposition import LIVE
from tests.deploy.prometheus import tool

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*)|:\?[^}]+)\}")
OURS = "router", "learner"


def checked(text: str) -> list[str]:
    """Returns the names of the services. Raises ValueError where the specification is broken."""
    compose = compose_spec.PyOptions(apply_merge=True).from_yaml(text)
    compose.validate()
    return list(compose.service_names())


def filled(text: str) -> str:
    """As compose does it, where every variable that must be set is."""
    return VARIABLE.sub(lambda found: "made-up" if found[2] is None else found[2], text)


def config() -> Config:
    given = SERVICES["router"]["environment"]
    env = {name: filled(value) for name, value in given.items()}
    mounted = (DEPLOY / "base" / "router.yaml").read_text(encoding="utf-8")
    return parse_config(mounted, "router.yaml", env)


def mounts(service: str) -> dict[str, str]:
    """Returns the path in the container of each source."""
    split = (each.split(":") for each in SERVICES[service].get("volumes", ()))
    return {source: path for source, path, *_ in split}


def options(command: list[str]) -> dict[str, str]:
    return dict(zip(command[::2], command[1::2], strict=True))


def test_it_fits_the_specification() -> None:
    assert checked(TEXT) == ["router", "learner", "redis", "prometheus", "grafana"]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("healthcheck:", "healthchecks:"),
        ("stop_grace_period: 155s", "stop_grace_period: soon"),
        ("service_healthy", "service_well"),
        ("127.0.0.1:8480:8480", "127.0.0.1:8480:x"),
    ],
)
def test_the_check_can_fail(right: str, wrong: str) -> None:
    assert right in TEXT
    with pytest.raises(ValueError, match=r"."):
        checked(TEXT.replace(right, wrong))


def test_what_is_mounted_is_there() -> None:
    sources = [source for name in SERVICES for source in mounts(name)]
    paths = {source for source in sources if source.startswith(".")}
    assert [path for path in paths if not (DEPLOY / path).is_file()] == []
    assert set(sources) - paths == set(COMPOSE["volumes"])
    build = SERVICES["router"]["build"]
    assert (DEPLOY / build["context"] / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", OURS)
def test_a_process_starts_a_command_there_is_with_a_config_that_is_well_formed(name: str) -> None:
    service, path = SERVICES[name], mounts(name)["./base/router.yaml"]
    command, option, given = service["command"]
    assert given == path
    assert option in main.commands[command].params[0].opts
    assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["tmpfs"] == ["/tmp"]  # noqa: PT018, S108 - one claim
    assert not config().learning.embedded


def test_ports_are_the_configs_and_only_this_machine_reaches_them() -> None:
    server = config().server
    assert server.host == "0.0.0.0"  # noqa: S104 - in a container that is the point
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    wanted = {f"127.0.0.1:{port}:{port}" for port in (server.port, server.http_port)}
    assert set(SERVICES["router"]["ports"]) == wanted
    probes = {name: SERVICES[name]["healthcheck"]["test"][-1] for name in OURS}
    assert f'"http://127.0.0.1:{server.http_port}/readyz"' in probes["router"]
    assert f'"http://127.0.0.1:{server.metrics_port}{LIVE}"' in probes["learner"]
    for text in probes.values():
        compile(text, "healthcheck", "exec")


def test_a_stop_leaves_time_to_drain() -> None:
    drain_s = (config().server.drain_ms or 0) / 1_000
    grace_s = int(SERVICES["router"]["stop_grace_period"].removesuffix("s"))
    assert grace_s >= drain_s + END_S + 5
    assert int(SERVICES["learner"]["stop_grace_period"].removesuffix("s")) >= END_S + 5


def test_the_routers_volume_belongs_to_its_user() -> None:
    """A volume gets the owner that its folder has in the image."""
    path = mounts("router")["router"]
    assert SERVICES["router"]["environment"]["XDG_DATA_HOME"] == path
    image = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert f"install -d -o router -g router {path}\n" in image


def test_redis_is_the_example_overlays() -> None:
    """The tests of the manifests start a server with those options."""
    program, *command = SERVICES["redis"]["command"]
    manifests = yaml.safe_load_all((DEPLOY / "overlays" / "example" / "redis.yaml").read_text())
    (stateful,) = (each for each in manifests if each["kind"] == "StatefulSet")
    (example,) = stateful["spec"]["template"]["spec"]["containers"]
    expected, found = options(example["args"]), options(command)
    assert [program] == example["command"]
    assert SERVICES["redis"]["image"] == example["image"]
    password = filled(found.pop("--requirepass"))
    assert found == {k: v for k, v in expected.items() if k not in {"--dir", "--requirepass"}}
    address = filled(SERVICES["router"]["environment"]["REDIS_URL"])
    assert address == f"redis://:{password}@redis:6379/0"
    assert filled(SERVICES["redis"]["environment"]["REDISCLI_AUTH"]) == password


def test_prometheus_scrapes_every_process_with_the_rules(tmp_path: Path) -> None:
    mounted = mounts("prometheus")
    for source, path in mounted.items():
        if source.startswith("."):
            shutil.copy(DEPLOY / source, tmp_path / Path(path).name)
    scrape = yaml.safe_load((tmp_path / "prometheus.yml").read_text(encoding="utf-8"))
    (job,) = scrape["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    assert sorted(found["names"]) == sorted(OURS)
    assert found["port"] == config().server.metrics_port
    assert [tmp_path / name for name in scrape["rule_files"]] == [tmp_path / "alerts.yaml"]
    done = subprocess.run(  # noqa: S603 - Prometheus' own tool
        [tool("promtool"), "check", "config", "prometheus.yml"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_grafana_finds_prometheus_and_the_dashboard() -> None:
    mounted = mounts("grafana")
    assert {path.rsplit("/", 1)[0] for source, path in mounted.items() if "compose/" in source} == {
        "/etc/grafana/provisioning/datasources",
        "/etc/grafana/provisioning/dashboards",
    }
    source = yaml.safe_load((DEPLOY / "compose" / "datasource.yaml").read_text())
    (prometheus,) = source["datasources"]
    port = SERVICES["prometheus"]["ports"][0].rsplit(":", 1)[1]
    assert prometheus["url"] == f"http://prometheus:{port}"
    assert prometheus["type"] == "prometheus"
    assert prometheus["isDefault"]
    boards = yaml.safe_load((DEPLOY / "compose" / "dashboards.yaml").read_text())
    (provider,) = boards["providers"]
    path = Path(mounted["./monitoring/dashboard.json"])
    assert str(path.parent) == provider["options"]["path"]


def test_monitoring_is_started_only_where_it_is_asked_for() -> None:
    asked = {name for name, service in SERVICES.items() if "profiles" in service}
    assert asked == {"prometheus", "grafana"}
    for name in asked:
        assert SERVICES[name]["profiles"] == ["monitoring"]
    for name in set(SERVICES) - asked:
        assert not asked & set(SERVICES[name].get("depends_on", ()))
