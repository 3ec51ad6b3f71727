"""Manifests that fit the schema, and each other, and the program they start."""

from __future__ import annotations

import copy
from typing import Any

import kubernetes_validate
import pytest

from router.cli import main
from router.config import Config, parse_config
from router.domain.errors import ConfigInvalid
from router.rpc.health import REQUIRED

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
    assert source["secretRef"]["name"] == "adaptive-router-keys"


def test_ports_are_those_of_the_config(manifests: Any) -> None:
    server = config_of(manifests).server
    expected = {"grpc": server.port, "metrics": server.metrics_port}
    for component in ("router", "learner"):
        listed = container(manifests.workload(component))["ports"]
        ports = {port["name"]: port["containerPort"] for port in listed}
        assert ports.items() <= expected.items()
        annotations = manifests.workload(component)["spec"]["template"]["metadata"]["annotations"]
        assert annotations["prometheus.io/port"] == str(server.metrics_port)


def test_probes_ask_ports_and_components_there_are(manifests: Any) -> None:
    server = config_of(manifests).server
    router = container(manifests.workload("router"))
    probes = {kind: router[f"{kind}Probe"]["grpc"] for kind in ("startup", "readiness", "liveness")}
    assert {probe["port"] for probe in probes.values()} == {server.port}
    assert "service" not in probes["readiness"]
    # Redis being away must take the pod out of service, not restart it.
    assert probes["liveness"]["service"] in set(REQUIRED) - {"redis"}
    learner = container(manifests.workload("learner"))
    named = {port["name"] for port in learner["ports"]}
    for kind in ("startup", "liveness"):
        assert learner[f"{kind}Probe"]["httpGet"] == {"path": "/metrics", "port": "metrics"}
        assert "metrics" in named


def test_services_find_their_pods_and_ports(manifests: Any) -> None:
    for service in manifests.all("Service"):
        (name,) = selected(service["spec"]["selector"], manifests)
        assert name == service["metadata"]["name"]
        (workload,) = (w for w in manifests.workloads() if w["metadata"]["name"] == name)
        ports = {p["name"]: p["containerPort"] for p in container(workload)["ports"]}
        for port in service["spec"]["ports"]:
            assert ports[port["targetPort"]] == port["port"]


def test_the_router_service_is_headless(manifests: Any) -> None:
    (service,) = (s for s in manifests.all("Service") if s["metadata"]["name"] == "adaptive-router")
    assert service["spec"]["clusterIP"] == "None"


def test_scaling_and_disruption_mean_the_router(manifests: Any) -> None:
    (scaler,) = manifests.all("HorizontalPodAutoscaler")
    target = scaler["spec"]["scaleTargetRef"]
    router = manifests.workload("router")
    assert (target["kind"], target["name"]) == (router["kind"], router["metadata"]["name"])
    assert "replicas" not in router["spec"]
    assert "cpu" in container(router)["resources"]["requests"]
    (budget,) = manifests.all("PodDisruptionBudget")
    assert selected(budget["spec"]["selector"]["matchLabels"], manifests) == ["adaptive-router"]
    assert scaler["spec"]["minReplicas"] > budget["spec"]["maxUnavailable"]


def test_embedding_workers_have_a_core_each(manifests: Any) -> None:
    cores = container(manifests.workload("router"))["resources"]["requests"]["cpu"]
    assert config_of(manifests).embedding.workers == int(cores)


def test_a_stop_leaves_time_to_drain(manifests: Any) -> None:
    workload = manifests.workload("router")
    sleep_s = container(workload)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = config_of(manifests).server.drain_ms / 1_000
    grace_s = workload["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert grace_s >= sleep_s + drain_s + SLEEP_MARGIN_S


def test_every_pod_has_its_own_network_policy(manifests: Any) -> None:
    policies = manifests.all("NetworkPolicy")
    covered = [selected(p["spec"]["podSelector"]["matchLabels"], manifests) for p in policies]
    assert sorted(covered) == sorted([w["metadata"]["name"]] for w in manifests.workloads())
    for policy in policies:
        assert set(policy["spec"]["policyTypes"]) == {"Ingress", "Egress"}


def test_network_policies_open_the_ports_there_are(manifests: Any) -> None:
    ports = {p["metadata"]["name"]: _open_ports(p) for p in manifests.all("NetworkPolicy")}
    server = config_of(manifests).server
    assert ports["adaptive-router"] == {server.port, server.metrics_port}
    assert ports["adaptive-router-learner"] == {server.metrics_port}


def test_callers_need_the_one_label_that_is_documented(manifests: Any) -> None:
    policy = manifests.one("NetworkPolicy", "adaptive-router")
    (callers,) = (r["from"] for r in policy["spec"]["ingress"] if _ports(r) == {8480})
    assert [source["podSelector"] for source in callers] == [
        {
            "matchExpressions": [
                {"key": "adaptive-router-client", "operator": "In", "values": ["true"]}
            ]
        }
    ]


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


def test_the_redis_url_of_the_example_finds_its_redis(manifests: Any) -> None:
    stateful = manifests.all("StatefulSet")
    if not stateful:
        assert manifests.secret()["REDIS_URL"] == ""
        return
    (redis,) = stateful
    secret = manifests.secret()
    name, port = redis["metadata"]["name"], container(redis)["ports"][0]["containerPort"]
    assert secret["REDIS_URL"] == f"redis://:{secret['REDIS_PASSWORD']}@{name}:{port}/0"
    args = container(redis)["args"]
    assert args[args.index("--appendonly") + 1] == "yes"
    assert args[args.index("--appendfsync") + 1] == "always"
