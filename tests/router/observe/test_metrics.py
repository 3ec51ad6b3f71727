"""Everything observed can be scraped, and scraping ends cleanly."""

from __future__ import annotations

import platform
import socket
import struct
import threading
import time

import httpx
import pytest
import structlog
from prometheus_client import CollectorRegistry

from router.domain.errors import PortTaken, ProviderError
from router.domain.events import GainFound, Move, Mover, PolicyChanged
from router.domain.records import Attempt, AttemptOutcome, CacheStatus
from router.domain.tenants import QuotaLeft
from router.observe.exposition import MetricsServer
from router.observe.metrics import REPORTED, Metrics
from router.ports.observer import Observer
from router.ports.state import Health


def an_attempt(why: str = "passed") -> Attempt:
    return Attempt(
        arm="cheap",
        deployment="mini",
        model="small",
        outcome=AttemptOutcome.ACCEPTED,
        why=why,
        latency_ms=250,
        input_tokens=10,
        output_tokens=5,
        cost_usd=0.002,
        cached_tokens=6,
        written_tokens=1,
        reasoning_tokens=3,
    )


def scraped(metrics: Metrics) -> str:
    with MetricsServer(metrics.registry, "127.0.0.1", 0) as server:
        return httpx.get(f"http://127.0.0.1:{server.port}/metrics").text


def everything(observer: Observer) -> None:
    observer.request("Complete", "OK", 0.2)
    observer.load(7, 0.003)
    observer.certificate(1.75e9)
    observer.deployments({"mini": "gemini"})
    observer.attempt(an_attempt(), "acme")
    observer.attempt(an_attempt(), "umbrella")
    observer.first_token("mini", 0.25)
    observer.answered(0.25, 1.0)
    observer.budget("acme", QuotaLeft(daily_usd=2.5))
    observer.budget("umbrella", QuotaLeft(daily_usd=7.5, monthly_usd=9.5))
    observer.circuits({"gone": Health.OPEN, "mini": Health.OPEN})
    observer.circuits({"mini": Health.HALF_OPEN})
    observer.queued({"embedding": 3})
    observer.rated("cheap", 0.75, -0.5, 1_700_000_000.0)
    observer.rated("cheap", 0.25, None, 0.0)
    observer.decision("cheap-then-reasoning", explored=True)
    observer.cache(CacheStatus.MISS)
    observer.stage("embed", 0.004)
    observer.feedback("explicit")
    observer.coalesced("served")
    observer.degraded("cache")
    observer.served_degraded("served")
    observer.spooled("decision")
    observer.unspooled("feedback", "decision_not_found")
    observer.spool(3, 4_096, 12.5)
    observer.learner(serving=False)
    observer.learner_ended()
    observer.loop_finished("snapshots")
    observer.loop_restarted("redis", "hung")
    observer.storage_failed("read_only")
    observer.learned(32, 7)
    observer.snapshot(5)
    observer.snapshot_refused("checksum")
    observer.staleness(11, 2.5)
    observer.sign("reasked", 0.125)
    observer.deviates("cheap")
    observer.standings("lin", [GainFound("gone", 5, 0.1)])
    observer.standings("bold", [GainFound("lin", 90, 0.25, 0.125, 0.5), GainFound("wide", 3)])
    observer.policy_changed(PolicyChanged("0-3", Move.PROMOTED, Mover.GUARD, "lin", "bold"))
    observer.policy_changed(
        PolicyChanged("0-4", Move.ROLLED_BACK, Mover.HAND, "bold", "bold", refused="why")
    )


def test_everything_observed_can_be_scraped() -> None:
    metrics = Metrics(most_tenants=1)
    everything(metrics)
    lines = scraped(metrics).splitlines()
    where = 'arm="cheap",deployment="mini"'
    model = (
        'gen_ai_operation_name="chat",gen_ai_provider_name="gcp.gemini",'
        'gen_ai_request_model="small"'
    )
    for line in (
        'adaptive_router_request_seconds_count{code="OK",method="Complete"} 1.0',
        "adaptive_router_in_flight_calls 7.0",
        "adaptive_router_certificate_expiry_timestamp_seconds 1.75e+09",
        f'gen_ai_client_token_usage_sum{{{model},gen_ai_token_type="input"}} 20.0',
        f'gen_ai_client_token_usage_sum{{{model},gen_ai_token_type="output"}} 10.0',
        f'gen_ai_client_operation_duration_seconds_sum{{error_type="",{model}}} 0.5',
        'adaptive_router_first_token_seconds_sum{deployment="mini"} 0.25',
        'adaptive_router_tenant_cost_usd_total{tenant="acme"} 0.002',
        'adaptive_router_tenant_cost_usd_total{tenant="_other"} 0.002',
        'adaptive_router_tenant_budget_left_usd{period="day",tenant="acme"} 2.5',
        "adaptive_router_answered_cost_usd_total 0.25",
        "adaptive_router_dearest_cost_usd_total 1.0",
        'adaptive_router_circuit_state{deployment="mini"} 1.0',
        'adaptive_router_queue_depth{queue="embedding"} 3.0',
        'adaptive_router_quality_sum{plan="cheap"} 1.0',
        'adaptive_router_quality_count{plan="cheap"} 2.0',
        'adaptive_router_reward_sum{plan="cheap"} -0.5',
        'adaptive_router_reward_count{plan="cheap"} 1.0',
        "adaptive_router_loop_lag_seconds_sum 0.003",
        f'adaptive_router_attempts_total{{{where},outcome="accepted",why="passed"}} 2.0',
        'adaptive_router_attempt_seconds_sum{deployment="mini"} 0.5',
        f"adaptive_router_cost_usd_total{{{where}}} 0.004",
        f'adaptive_router_tokens_total{{{where},kind="input"}} 6.0',
        f'adaptive_router_tokens_total{{{where},kind="cached"}} 12.0',
        f'adaptive_router_tokens_total{{{where},kind="written"}} 2.0',
        f'adaptive_router_tokens_total{{{where},kind="output"}} 4.0',
        f'adaptive_router_tokens_total{{{where},kind="reasoning"}} 6.0',
        'adaptive_router_decisions_total{explored="true",plan="cheap-then-reasoning"} 1.0',
        'adaptive_router_cache_total{status="miss"} 1.0',
        'adaptive_router_stage_seconds_count{stage="embed"} 1.0',
        'adaptive_router_feedback_total{kind="explicit"} 1.0',
        'adaptive_router_coalesced_total{result="served"} 1.0',
        'adaptive_router_degraded_total{what="cache"} 1.0',
        'adaptive_router_degraded_requests_total{result="served"} 1.0',
        'adaptive_router_spooled_total{kind="decision"} 1.0',
        'adaptive_router_unspooled_total{kind="feedback",result="decision_not_found"} 1.0',
        "adaptive_router_spool_entries 3.0",
        "adaptive_router_spool_bytes 4096.0",
        "adaptive_router_spool_oldest_seconds 12.5",
        "adaptive_router_learner_serving 0.0",
        "adaptive_router_learner_ends_total 1.0",
        'adaptive_router_loop_restarts_total{loop="redis",why="hung"} 1.0',
        'adaptive_router_storage_probe_failures_total{kind="read_only"} 1.0',
        "adaptive_router_learned_events_total 32.0",
        "adaptive_router_backlog_events 7.0",
        "adaptive_router_snapshot_version 5.0",
        "adaptive_router_snapshot_behind_events 11.0",
        "adaptive_router_snapshot_behind_seconds 2.5",
        'adaptive_router_snapshots_refused_total{reason="checksum"} 1.0',
        'adaptive_router_sign_weight{sign="reasked"} 0.125',
        'adaptive_router_tenant_deviations_total{plan="cheap"} 1.0',
        'adaptive_router_champion{member="bold"} 1.0',
        'adaptive_router_challenger_gain{challenger="lin"} 0.25',
        'adaptive_router_challenger_gain_low{challenger="lin"} 0.125',
        'adaptive_router_challenger_events{challenger="lin"} 90.0',
        'adaptive_router_challenger_gain_low{challenger="wide"} -Inf',
        'adaptive_router_policy_changes_total{by="guard",move="promoted"} 1.0',
        'adaptive_router_policy_changes_total{by="hand",move="refused"} 1.0',
    ):
        assert line in lines
    assert not any(
        '"gone"' in line or 'member="lin"' in line or "umbrella" in line for line in lines
    )


def test_no_tenant_is_named_unless_asked_for() -> None:
    metrics = Metrics()
    everything(metrics)
    assert not any(name in scraped(metrics) for name in ("acme", "umbrella"))


def test_a_budget_that_was_lifted_is_told_no_more() -> None:
    metrics = Metrics(most_tenants=2)
    metrics.budget("acme", QuotaLeft(daily_usd=0.0, monthly_usd=3.0))
    metrics.budget("acme", QuotaLeft(monthly_usd=3.0))
    metrics.budget("umbrella", QuotaLeft())
    left = "adaptive_router_tenant_budget_left_usd"
    told = {
        (s.labels["period"], s.labels["tenant"])
        for m in metrics.registry.collect()
        for s in m.samples
        if s.name == left
    }
    assert told == {("month", "acme")}


def test_build_and_process_are_told() -> None:
    metrics = Metrics()
    metrics.watch_process()
    lines = scraped(metrics)
    python = platform.python_version()
    assert f'adaptive_router_build_info{{python="{python}",version="' in lines
    assert "process_resident_memory_bytes " in lines


def test_the_null_observer_takes_the_same_calls() -> None:
    everything(Observer())


def test_a_callers_own_words_never_become_a_label() -> None:
    metrics = Metrics()
    for number in range(50):
        metrics.attempt(an_attempt(f"the caller's reason {number}"))
    samples = scraped(metrics)
    assert f'why="{REPORTED}"}} 50.0' in samples
    assert "the caller's reason" not in samples


PROVIDER_REASONS = [error.reason.lower() for error in ProviderError.__subclasses__()]


@pytest.mark.parametrize("why", ["cut_off", "schema_mismatch", *PROVIDER_REASONS])
def test_the_services_own_words_do(why: str) -> None:
    metrics = Metrics()
    metrics.attempt(an_attempt(why))
    assert f'why="{why}"' in scraped(metrics)


def test_two_processes_worth_of_metrics_do_not_mix() -> None:
    first, second = Metrics(), Metrics()
    first.cache(CacheStatus.MISS)
    assert 'status="miss"' not in scraped(second)


def test_closing_frees_the_port_and_ends_the_thread() -> None:
    before = set(threading.enumerate())
    with MetricsServer(Metrics().registry, "127.0.0.1", 0) as server:
        port = server.port
    with MetricsServer(Metrics().registry, "127.0.0.1", port) as again:
        assert again.port == port
    assert set(threading.enumerate()) <= before
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/metrics")


def test_a_caller_who_leaves_prints_no_exception(capfd: pytest.CaptureFixture[str]) -> None:
    with (
        structlog.testing.capture_logs() as told,
        MetricsServer(Metrics().registry, "127.0.0.1", 0) as server,
    ):
        with socket.create_connection(("127.0.0.1", server.port)) as leaver:
            # Closed by a reset, which the reading thread gets as an exception.
            leaver.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        end_s = time.monotonic() + 60
        while not told and time.monotonic() < end_s:
            time.sleep(0.005)
    assert [(line["event"], line["error"]) for line in told] == [
        ("scrape failed", "ConnectionResetError")
    ]
    assert "".join(capfd.readouterr()) == ""


def test_a_scrape_that_fails_prints_no_exception(capfd: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def collect(self) -> list[object]:
            raise ValueError("the prompt and the key")

        def describe(self) -> list[object]:
            return []

    registry = CollectorRegistry()
    registry.register(Broken())
    with MetricsServer(registry, "127.0.0.1", 0) as server:
        assert httpx.get(f"http://127.0.0.1:{server.port}/metrics").status_code == 500
    assert "".join(capfd.readouterr()) == ""


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


SIXTH = pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")


@pytest.mark.parametrize(
    ("host", "reached"),
    [
        pytest.param("::1", ("[::1]",), marks=SIXTH),
        pytest.param("[::1]", ("[::1]",), marks=SIXTH),
        pytest.param("::", ("[::1]", "127.0.0.1"), marks=SIXTH),
        pytest.param("[::]", ("[::1]", "127.0.0.1"), marks=SIXTH),
        ("localhost", ("127.0.0.1",)),
        ("127.0.0.1", ("127.0.0.1",)),
    ],
)
def test_it_listens_where_the_api_does(host: str, reached: tuple[str, ...]) -> None:
    with MetricsServer(Metrics().registry, host, 0) as server:
        for own in reached:
            assert httpx.get(f"http://{own}:{server.port}/metrics").status_code == 200


@pytest.mark.parametrize("host", ["no.such.host.invalid", "::g", "256.1.1.1", "a" * 300, "a..b"])
def test_a_host_that_is_none(host: str) -> None:
    with pytest.raises(PortTaken, match=r"server\.host"):
        MetricsServer(Metrics().registry, host, 0)


def test_a_taken_port_says_what_to_change() -> None:
    with (
        MetricsServer(Metrics().registry, "127.0.0.1", 0) as server,
        pytest.raises(PortTaken, match="metrics_port"),
    ):
        MetricsServer(Metrics().registry, "127.0.0.1", server.port)


def test_the_metrics_port_tells_whether_the_process_makes_progress() -> None:
    lives = True
    with MetricsServer(Metrics().registry, "127.0.0.1", 0, lambda: lives) as server:
        url = f"http://127.0.0.1:{server.port}"
        assert httpx.get(f"{url}/live").status_code == httpx.codes.OK
        lives = False
        late = httpx.get(f"{url}/live")
        assert late.status_code == httpx.codes.SERVICE_UNAVAILABLE
        assert "no progress" in late.text
        assert "adaptive_router" in httpx.get(f"{url}/metrics").text


def test_the_metrics_port_tells_whether_requests_are_answered() -> None:
    lives = serves = True
    registry = Metrics().registry
    with MetricsServer(registry, "127.0.0.1", 0, lambda: lives, lambda: serves) as server:
        ready = f"http://127.0.0.1:{server.port}/ready"
        assert httpx.get(ready).status_code == httpx.codes.OK
        serves = False
        assert httpx.get(ready).status_code == httpx.codes.SERVICE_UNAVAILABLE
        lives, serves = False, True
        assert httpx.get(ready).status_code == httpx.codes.SERVICE_UNAVAILABLE
