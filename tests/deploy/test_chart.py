"""The Helm chart renders what kustomize builds, refuses what can't work, and follows the config.

Names of configs and keys end in a hash under kustomize, and pods have checksums under Helm; the
namespace is Helm's to make. All else is the same.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from redis.connection import parse_url

from router.config import parse_config

DEPLOY = Path(__file__).parents[2] / "deploy"
CHART = DEPLOY / "chart"
NAME = "adaptive-router"
VERSION = "1.32"
EXAMPLE: dict[str, Any] = yaml.safe_load((CHART / "examples" / "values.yaml").read_text())
# In a process of its own: Helm's library brings Go's threads and signal handlers.
RENDER = """
import json, sys
import helm_python as helm
asked = json.load(sys.stdin)
try:
    with helm.Chart.load(asked["chart"]) as chart:
        chart.validate_schema(asked["values"])
        told = chart.render(asked["values"], name=asked["name"], namespace="adaptive-router")
    report = helm.lint(asked["chart"], asked["values"], strict=True, quiet=True)
    print(json.dumps({"files": told, "errors": report["errors"]}))
except helm.HelmError as error:
    print(json.dumps({"refused": str(error)}))
"""
Documents = dict[tuple[str, str], dict[str, Any]]


def told(values: dict[str, Any], name: str = NAME, path: Path = CHART) -> dict[str, Any]:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", RENDER],
        input=json.dumps({"chart": str(path), "values": values, "name": name}),
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def chart(values: dict[str, Any], name: str = NAME) -> Documents:
    answer = told(values, name)
    assert answer.get("refused") is None
    assert answer["errors"] == []
    files = [text for path, text in answer["files"].items() if path.endswith(".yaml")]
    return by_name(each for text in files for each in yaml.safe_load_all(text) if each)


def by_name(documents: Any) -> Documents:
    """Secrets decoded: kustomize folds the lines of what is encoded."""
    found = [(each["kind"], each["metadata"]["name"], each) for each in documents]
    named = {(kind, name): each for kind, name, each in found}
    assert len(named) == len(found)
    for (kind, _), each in named.items():
        if kind == "Secret":
            each["data"] = {name: b64decode(text).decode() for name, text in each["data"].items()}
    return named


def without_hashes(documents: list[dict[str, Any]]) -> Documents:
    """Names as they were before kustomize told the content by them."""
    text = json.dumps([each for each in documents if each["kind"] != "Namespace"])
    for each in documents:
        if each["kind"] in {"ConfigMap", "Secret"}:
            name = each["metadata"]["name"]
            text = text.replace(f'"{name}"', f'"{re.sub(r"-[a-z0-9]{10}$", "", name)}"')
    return by_name(json.loads(text))


def without_checksums(documents: Documents) -> Documents:
    """The chart tells the content of configs and keys by annotations of the pods."""
    found = copy.deepcopy(documents)
    for (kind, _), each in found.items():
        if kind == "Deployment":
            annotations = each["spec"]["template"]["metadata"]["annotations"]
            assert re.fullmatch("[0-9a-f]{64}", annotations.pop("checksum/config"))
            assert re.fullmatch("[0-9a-f]{64}", annotations.pop("checksum/keys"))
    return found


def config(**server: Any) -> dict[str, Any]:
    """The base's, with other options of the server; None leaves one out."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "base" / "router.yaml").read_text())
    merged = found["server"] | server
    found["server"] = {key: value for key, value in merged.items() if value is not None}
    return found


OVERLAYS = {
    "example": ([], {}),
    "on CPU": (["../components/cpu-scaling"], {"router": {"scaleOn": "cpu"}}),
    "monitored": (["../monitoring"], {"monitoring": {"enabled": True}}),
}


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_renders_what_kustomize_builds(
    rendered: Callable[[str, dict[str, str]], Any], name: str
) -> None:
    components, more = OVERLAYS[name]
    resources = {"resources": ["../overlays/example"], "components": components}
    overlay = resources | {"namespace": NAME}
    built = rendered("mine", {"mine/kustomization.yaml": yaml.safe_dump(overlay)})
    values = {key: EXAMPLE.get(key, {}) | more.get(key, {}) for key in {*EXAMPLE, *more}}
    expected, found = without_hashes(built.documents), without_checksums(chart(values))
    assert set(found) == set(expected)
    for key, document in expected.items():
        assert found[key] == document, key


def test_by_itself_it_renders_the_base(rendered: Callable[[str, dict[str, str]], Any]) -> None:
    overlay = {
        "resources": ["../base"],
        "namespace": NAME,
        "images": [{"name": NAME, "newTag": "0.1.0"}],
    }
    built = rendered("mine", {"mine/kustomization.yaml": yaml.safe_dump(overlay)})
    assert without_checksums(chart({})) == without_hashes(built.documents)


def test_a_config_without_the_http_door_renders_what_the_component_does(
    rendered: Callable[[str, dict[str, str]], Any],
) -> None:
    text = yaml.safe_dump(config(http_port=None))
    overlay = {"resources": ["../overlays/example"], "components": ["../components/grpc-only"]}
    written = {"mine/kustomization.yaml": yaml.safe_dump(overlay), "base/router.yaml": text}
    built = rendered("mine", written)
    found = without_checksums(chart(EXAMPLE | {"config": text}))
    assert found == without_hashes(built.documents)


@pytest.mark.parametrize("client_ca", [None, "/tls/ca.crt"])
@pytest.mark.parametrize("http_port", [8080, None])
def test_behind_tls_probes_ask_what_speaks_in_the_clear(
    rendered: Callable[[str, dict[str, str]], Any], http_port: int | None, client_ca: str | None
) -> None:
    """A kubelet has no certificate, and its probes of gRPC speak no TLS."""
    files = {"certificate": "/tls/tls.crt", "key": "/tls/tls.key"}
    if client_ca:
        files["client_ca"] = client_ca
    text = yaml.safe_dump(config(http_port=http_port, tls=files))
    components = [] if http_port else ["../components/grpc-only"]
    overlay = {"resources": ["../overlays/example"], "components": components}
    written = {"mine/kustomization.yaml": yaml.safe_dump(overlay), "base/router.yaml": text}
    built = rendered("mine", written)
    found = without_checksums(chart(EXAMPLE | {"config": text}))
    assert found == without_hashes(built.documents)
    (only,) = found["Deployment", NAME]["spec"]["template"]["spec"]["containers"]
    for kind in ("startup", "readiness", "liveness"):
        probe = only[f"{kind}Probe"]
        assert probe["httpGet"]["port"] == "metrics"
        assert "grpc" not in probe
    validated = found["Deployment", NAME]
    assert kubernetes_validate.validate(validated, VERSION, strict=True) == VERSION


def test_every_document_fits_the_strict_schema() -> None:
    for document in chart(EXAMPLE | {"router": {"scaleOn": "cpu"}}).values():
        if document["kind"] == "Secret":
            document["data"] = {}  # decoded above
        assert kubernetes_validate.validate(document, VERSION, strict=True) == VERSION


def test_ports_and_grace_follow_the_config() -> None:
    server = {"port": 7001, "http_port": 7002, "metrics_port": 7003, "drain_ms": 30_001}
    found = chart({"config": config(**server)})
    pod = found["Deployment", NAME]["spec"]["template"]
    (only,) = pod["spec"]["containers"]
    assert [port["containerPort"] for port in only["ports"]] == [7001, 7002, 7003]
    assert pod["metadata"]["annotations"]["prometheus.io/port"] == "7003"
    assert pod["spec"]["terminationGracePeriodSeconds"] == 5 + 31 + 25
    ports = [port["port"] for port in found["Service", NAME]["spec"]["ports"]]
    assert ports == [7001, 7002, 7003]
    rules = found["NetworkPolicy", NAME]["spec"]["ingress"]
    assert [[port["port"] for port in rule["ports"]] for rule in rules] == [[7001, 7002], [7003]]
    text = found["ConfigMap", f"{NAME}-config"]["data"]["router.yaml"]
    mounted = yaml.safe_load(text)
    assert mounted == config(**server)
    env = dict.fromkeys(found["Secret", f"{NAME}-keys"]["data"], "made-up")
    parse_config(text, "router.yaml", env | {"REDIS_URL": "redis://h:1"})
    longest = chart({"config": config(drain_ms=None)})["Deployment", NAME]
    assert longest["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 5 + 125 + 25


def test_another_config_or_other_keys_roll_the_pods() -> None:
    def checksums(values: dict[str, Any]) -> dict[str, str]:
        pod = chart(values)["Deployment", NAME]["spec"]["template"]["metadata"]
        return {k: v for k, v in pod["annotations"].items() if k.startswith("checksum/")}

    before = checksums({})
    keys = checksums({"keys": {"OPENAI_API_KEY": "another"}})
    assert keys["checksum/keys"] != before["checksum/keys"]
    assert keys["checksum/config"] == before["checksum/config"]
    other = checksums({"config": config(max_in_flight=17)})
    assert other["checksum/config"] != before["checksum/config"]


def test_a_secret_of_ones_own_is_used_and_none_is_made() -> None:
    found = chart({"keysSecret": "mine"})
    assert not any(kind == "Secret" for kind, _ in found)
    for name in (NAME, f"{NAME}-learner"):
        (only,) = found["Deployment", name]["spec"]["template"]["spec"]["containers"]
        assert only["envFrom"] == [{"secretRef": {"name": "mine"}}]


@pytest.mark.parametrize("name", [NAME, f"{NAME}-learner"])
def test_secrets_are_mounted_as_files_and_variables_set(name: str) -> None:
    mounts = [{"secret": "keys", "path": "/etc/keys"}, {"secret": "authority", "path": "/etc/ca"}]
    env = [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector:4318"}]
    values = {"mounts": mounts, "env": env, "imagePullSecrets": [{"name": "registry"}]}
    document = chart(values)["Deployment", name]
    assert kubernetes_validate.validate(document, VERSION, strict=True) == VERSION
    pod = document["spec"]["template"]["spec"]
    (only,) = pod["containers"]
    secrets = {v["name"]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    found = {secrets[m["name"]]: m for m in only["volumeMounts"] if m["name"] in secrets}
    assert {name: mount["mountPath"] for name, mount in found.items()} == {
        "keys": "/etc/keys",
        "authority": "/etc/ca",
    }
    assert all(mount["readOnly"] for mount in found.values())
    assert env[0] in only["env"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]


def test_two_releases_in_one_namespace_share_no_name_and_no_pod() -> None:
    both = [chart(EXAMPLE, name) for name in (NAME, "second")]
    assert not set(both[0]) & set(both[1])
    for one, other in (both, both[::-1]):
        pods = [
            each["spec"]["template"]["metadata"]["labels"]
            for (kind, _), each in other.items()
            if kind in {"Deployment", "StatefulSet"}
        ]
        selectors = [s for each in one.values() for s in _selectors(each)]
        assert len(selectors) >= 12
        assert not any(selector.items() <= pod.items() for selector in selectors for pod in pods)


def _selectors(document: dict[str, Any]) -> list[dict[str, str]]:
    spec = document.get("spec", {})
    found = spec.get("podSelector") or spec.get("selector")
    return [found.get("matchLabels", found)] if found else []


def test_a_password_with_signs_arrives_in_the_address() -> None:
    redis = {"enabled": True, "password": "p@ss w/rd:+%"}
    found = chart({"redis": redis})
    address = found["Secret", f"{NAME}-keys"]["data"]["REDIS_URL"]
    assert parse_url(address)["password"] == redis["password"]
    assert found["Secret", f"{NAME}-redis"]["data"] == {"REDIS_PASSWORD": redis["password"]}


REFUSED = {
    "an option there is not": ({"replicas": 3}, "replicas"),
    "a word for a number": ({"router": {"minReplicas": "three"}}, "minReplicas"),
    "a variable's name that is none": ({"keys": {"MY-KEY": "x"}}, "MY-KEY"),
    "a Redis without a password": ({"redis": {"enabled": True}}, "redis.password"),
    "a router that only itself can reach": ({"config": config(host="127.0.0.1")}, "server.host"),
    "a config that is no YAML": ({"config": "server: ["}, "config"),
    "a mount without a path": ({"mounts": [{"secret": "keys"}]}, "mounts"),
    "a way to scale there is not": ({"router": {"scaleOn": "memory"}}, "scaleOn"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_refuses(name: str) -> None:
    values, what = REFUSED[name]
    answer = told(values)
    assert what in answer["refused"]


def test_a_package_holds_the_linked_files(tmp_path: Path) -> None:
    pack = "import helm_python as h, sys; h.Chart.load(sys.argv[1]).save(sys.argv[2])"
    subprocess.run([sys.executable, "-c", pack, str(CHART), str(tmp_path)], check=True)  # noqa: S603 - our own script
    (archive,) = tmp_path.glob("*.tgz")
    values = EXAMPLE | {"monitoring": {"enabled": True}}
    assert told(values, path=archive)["files"] == told(values)["files"]


def test_every_value_is_in_the_schema() -> None:
    """The schema takes no other, so what is missing there could not be set."""
    schema = json.loads((CHART / "values.schema.json").read_text())["properties"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert set(schema) == {*values, "global"}
    for key, value in values.items():
        if isinstance(value, dict) and schema[key].get("additionalProperties") is False:
            assert set(schema[key]["properties"]) == set(value)


def test_its_notes_name_the_empty_keys_and_both_doors() -> None:
    (notes,) = (t for path, t in told({})["files"].items() if path.endswith("NOTES.txt"))
    assert "keys.REDIS_URL is empty" in notes
    assert "dns:///adaptive-router.adaptive-router:8480" in notes
    assert "http://adaptive-router-http.adaptive-router:8080/v1" in notes
    (notes,) = (t for path, t in told(EXAMPLE)["files"].items() if path.endswith("NOTES.txt"))
    assert "is empty" not in notes
