"""Prometheus metrics. Every label value is a name from the config or from an enumeration."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from typing import TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    Summary,
)

from bandit.risk import PromiseStatus
from router.domain.errors import ProviderError
from router.domain.events import GainFound, PolicyChanged
from router.domain.records import JUDGED, UNJUDGED, Attempt, AttemptOutcome, CacheStatus
from router.domain.tenants import QuotaLeft
from router.ports.observer import Observer
from router.ports.state import Health

M = TypeVar("M", Counter, Histogram)

PREFIX = "adaptive_router"
MOST_CHILDREN = 4_096
CALL_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)
LAG_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
TOKEN_BUCKETS = tuple(4**power for power in range(14))
OPERATION_BUCKETS = tuple(0.01 * 2**power for power in range(14))
"""Those that OpenTelemetry's conventions advise."""
SAID = "explicit", "session"
"""Feedback that somebody gave, beside what is read off a behaviour."""
OTHER_TENANTS = "_other"
GEN_AI = "gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model"
PROVIDER_NAMES: Mapping[str, str] = {"gemini": "gcp.gemini", "responses": "openai"}
"""Protocols that OpenTelemetry's conventions name otherwise."""
CIRCUITS = {Health.CLOSED: 0, Health.HALF_OPEN: 1, Health.OPEN: 2}
STAGE_BUCKETS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1)


def built_version() -> str:
    """Returns the version of the installed distribution; "0" where none is installed."""
    try:
        return version("adaptive-router")
    except PackageNotFoundError:
        return "0"


class Metrics(Observer):
    """Counts what happens in a registry of its own.

    A metric is declared here, beside the method that is told of it. most_tenants: told of by
    name, the first that come; 0 for none.
    """

    def __init__(self, most_tenants: int = 0) -> None:
        self.registry = CollectorRegistry()
        self._most_tenants = most_tenants
        self._tenants = set[str]()
        self._told_budgets = set[tuple[str, str]]()
        self._providers: Mapping[str, str] = {}
        self._told_circuits = set[str]()
        self._declare_models()
        self._declare_money()
        self._requests = self._histogram(
            "request_seconds", "Duration of calls of the API", CALL_BUCKETS, "method", "code"
        )
        self._stages = self._histogram(
            "stage_seconds", "Duration of the stages of a request", STAGE_BUCKETS, "stage"
        )
        self._in_flight = self._gauge("in_flight_calls", "Calls of tenants under way")
        self._lag = self._histogram(
            "loop_lag_seconds",
            "How late the event loop is, every 250 ms",
            LAG_BUCKETS,
        )
        self._attempts = self._counter(
            "attempts", "Calls of deployments", "arm", "deployment", "outcome", "why"
        )
        self._latency = self._histogram(
            "attempt_seconds", "Latency of calls of deployments", CALL_BUCKETS, "deployment"
        )
        self._cost = self._counter("cost_usd", "Spent on deployments", "arm", "deployment")
        self._tokens = self._counter(
            "tokens",
            "Tokens charged: input, cached, written, output, reasoning; none is part of another",
            "arm",
            "deployment",
            "kind",
        )
        self._decisions = self._counter("decisions", "Plans chosen", "plan", "explored")
        self._steps = self._counter("steps", "Choices after a first answer", "plan", "step")
        self._audits = self._counter("audits", "Accepted first answers checked", "result")
        self._evidence_wishes = self._counter(
            "evidence_wishes", "Requests weighed for evidence", "why"
        )
        self._evidence_share = self._gauge(
            "evidence_share", "Probability with which the last request's evidence was bought"
        )
        self._evidence = self._counter("evidence", "Purchases of evidence", "result")
        self._evidence_cost = self._counter("evidence_cost_usd", "Paid for evidence")
        self._evidence_prompts = self._gauge(
            "evidence_prompts", "Prompts known for every arm, as learned"
        )
        self._evidence_spent = self._gauge("evidence_spent_usd", "Paid for them in all, as learned")
        self._evidence_worth = self._gauge(
            "evidence_worth_usd", "Worth of them as expected when they were bought"
        )
        self._cache = self._counter("cache", "Cache look-ups", "status")
        self._coalesced = self._counter(
            "coalesced", "Requests that waited for the same one under way", "result"
        )
        self._feedback = self._counter("feedback", "Signs of quality", "kind")
        self._degraded = self._counter("degraded", "Work done without a dependency", "what")
        self._served_degraded = self._counter(
            "degraded_requests", "Requests while Redis was away", "result"
        )
        self._spooled = self._counter("spooled", "Writes that went to the spool", "kind")
        self._unspooled = self._counter(
            "unspooled",
            "Writes of the spool that were delivered, or refused for good",
            "kind",
            "result",
        )
        self._spool = (
            self._gauge("spool_entries", "Writes in the spool"),
            self._gauge("spool_bytes", "Size of the spool on disk"),
            self._gauge("spool_oldest_seconds", "Age of the oldest spooled write"),
        )
        self._orphans = self._counter(
            "orphaned_reservations", "Reservations of dead routers, settled"
        )
        self._orphaned_usd = self._counter("orphaned_usd", "Charged for dead routers' reservations")
        self._loops = self._gauge(
            "loop_last_finished_timestamp_seconds", "When a loop last ended a step", "loop"
        )
        self._restarts = self._counter(
            "loop_restarts",
            "Background loops started again: broke, hung",
            "loop",
            "why",
        )
        self._store_failures = self._counter(
            "storage_probe_failures", "Probes of Redis that failed", "kind"
        )
        self._declare_learning()

    def _declare_learning(self) -> None:
        self._learned = self._counter("learned_events", "Events learned by this process")
        self._learner = self._gauge("learner_serving", "1 while the embedded learner runs")
        self._learner.set(1)
        self._learner_ends = self._counter("learner_ends", "Ends and failed starts of the learner")
        self._refused = self._counter("snapshots_refused", "Snapshots not served", "reason")
        self._memory = self._gauge("store_memory_bytes", "Memory used by Redis")
        self._memory_limit = self._gauge(
            "store_memory_limit_bytes", "maxmemory of Redis; 0 for none"
        )
        self._findings = self._gauge(
            "store_findings", "1 for what is wrong with the Redis server; the log says more", "what"
        )
        self._certificate = self._gauge(
            "certificate_expiry_timestamp_seconds", "When server.tls expires; 0 without TLS"
        )
        self._leader = self._gauge("leader", "1 on the learner that works")
        self._lost = self._counter(
            "log_losses", "Times Redis lost learned events; learning began again"
        )
        self._backlog = self._gauge("backlog_events", "Events not learned yet")
        self._champion = self._gauge("champion", "1 for the policy that serves", "member")
        self._gain = self._gauge(
            "challenger_gain", "Reward per decision over the champion, estimated", "challenger"
        )
        self._gain_low = self._gauge(
            "challenger_gain_low",
            "Lower bound of the gain; -Inf: none yet",
            "challenger",
        )
        self._gain_events = self._gauge(
            "challenger_events",
            "Decisions that the gain is estimated from",
            "challenger",
        )
        self._changes = self._counter("policy_changes", "Promotions and rollbacks", "move", "by")
        self._deviations = self._counter(
            "tenant_deviations",
            "Tenants whose feedback is far off all others'; the log names them",
            "plan",
        )
        self._verifier = self._gauge("verifier_serving", "0 while the verifier is left alone")
        self._verifier.set(1)
        self._promise = self._gauge(
            "promise",
            "Promise: threshold (2 for none), evidence, evidence_wanted, labels, epoch",
            "plan",
            "what",
        )
        self._sign = self._gauge(
            "sign_weight", "Weight of an implicit sign; feedback has 1", "sign"
        )
        self._version = self._gauge("snapshot_version", "Version of the snapshot in use")
        self._since = self._gauge(
            "snapshot_timestamp_seconds", "When the snapshot in use was taken up"
        )
        self._behind = self._gauge("snapshot_behind_events", "Events not in the snapshot in use")
        self._behind_s = self._gauge(
            "snapshot_behind_seconds",
            "Age of the oldest event not in the snapshot in use",
        )

    def _declare_models(self) -> None:
        self._gauge("build_info", "1 for the version that runs", "version", "python").labels(
            built_version(), platform.python_version()
        ).set(1)
        self._token_usage = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of calls of deployments: gen_ai.client.token.usage of OpenTelemetry",
            (*GEN_AI, "gen_ai_token_type"),
            buckets=TOKEN_BUCKETS,
            registry=self.registry,
        )
        self._operations = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "Duration of calls of deployments: gen_ai.client.operation.duration of OpenTelemetry",
            (*GEN_AI, "error_type"),
            buckets=OPERATION_BUCKETS,
            registry=self.registry,
        )
        self._first_token = self._histogram(
            "first_token_seconds", "Wait for a stream's first piece", CALL_BUCKETS, "deployment"
        )
        self._circuits = self._gauge(
            "circuit_state", "Circuit: 0 closed, 1 half open, 2 open", "deployment"
        )
        self._queued = self._gauge("queue_depth", "Work that waits for its turn", "queue")
        self._quality = self._summary("quality", "Quality by feedback that was learned", "plan")
        self._reward = self._summary("reward", "Reward of decisions with feedback", "plan")
        self._last_feedback = self._gauge(
            "last_feedback_timestamp_seconds", "When feedback came last; 0: none since the start"
        )

    def _declare_money(self) -> None:
        self._tenant_cost = self._counter(
            "tenant_cost_usd", "Spent on deployments by tenant, if server.tenant_metrics", "tenant"
        )
        self._budget = self._gauge(
            "tenant_budget_left_usd",
            "Left of a tenant's budget, if server.tenant_metrics",
            "tenant",
            "period",
        )
        self._answered = self._counter("answered_cost_usd", "Paid for answers that were served")
        self._dearest = self._counter(
            "dearest_cost_usd", "Cost of these answers' tokens at the dearest permitted arm"
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return _quick(Counter(f"{PREFIX}_{name}", text, labels, registry=self.registry))

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def _summary(self, name: str, text: str, *labels: str) -> Summary:
        return Summary(f"{PREFIX}_{name}", text, labels, registry=self.registry)

    def watch_process(self) -> None:
        """Tell of this process's memory, CPU time, files and garbage as well."""
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: Sequence[float], *labels: str) -> Histogram:
        name = f"{PREFIX}_{name}"
        return _quick(Histogram(name, text, labels, buckets=buckets, registry=self.registry))

    def request(self, method: str, code: str, seconds: float) -> None:
        self._requests.labels(method, code).observe(seconds)

    def load(self, in_flight: int, late_s: float) -> None:
        self._in_flight.set(in_flight)
        self._lag.observe(late_s)

    def deployments(self, providers: Mapping[str, str]) -> None:
        self._providers = {
            name: PROVIDER_NAMES.get(protocol, protocol) for name, protocol in providers.items()
        }

    def attempt(self, attempt: Attempt, tenant: str = "") -> None:
        where = (attempt.arm, attempt.deployment)
        self._attempts.labels(*where, attempt.outcome.value, _known(attempt.why)).inc()
        self._latency.labels(attempt.deployment).observe(attempt.latency_ms / 1_000)
        self._cost.labels(*where).inc(attempt.cost_usd)
        for kind, tokens in _tokens_of(attempt):
            self._tokens.labels(*where, kind).inc(tokens)
        if self._most_tenants:
            self._tenant_cost.labels(self._tenant(tenant)).inc(attempt.cost_usd)
        if attempt.deployment:
            self._operation(attempt)

    def _operation(self, attempt: Attempt) -> None:
        failed = attempt.outcome is AttemptOutcome.FAILED
        called = ("chat", self._providers.get(attempt.deployment, ""), attempt.model)
        why = _known(attempt.why) if failed else ""
        self._operations.labels(*called, why).observe(attempt.latency_ms / 1_000)
        if attempt.input_tokens or attempt.output_tokens:
            self._token_usage.labels(*called, "input").observe(attempt.input_tokens)
            self._token_usage.labels(*called, "output").observe(attempt.output_tokens)

    def _tenant(self, name: str) -> str:
        """Returns a label; tenants beyond the bound share one."""
        if name not in self._tenants and len(self._tenants) >= self._most_tenants:
            return OTHER_TENANTS
        self._tenants.add(name)
        return name

    def first_token(self, deployment: str, seconds: float) -> None:
        self._first_token.labels(deployment).observe(seconds)

    def answered(self, paid_usd: float, dearest_usd: float) -> None:
        self._answered.inc(paid_usd)
        self._dearest.inc(dearest_usd)

    def budget(self, tenant: str, left: QuotaLeft) -> None:
        if not self._most_tenants or self._tenant(tenant) == OTHER_TENANTS:
            return
        for period, usd in (("day", left.daily_usd), ("month", left.monthly_usd)):
            if usd is not None:
                self._budget.labels(tenant, period).set(usd)
                self._told_budgets.add((tenant, period))
            elif (tenant, period) in self._told_budgets:  # it was lifted
                self._told_budgets.discard((tenant, period))
                self._budget.remove(tenant, period)

    def circuits(self, states: Mapping[str, Health]) -> None:
        for name in self._told_circuits - states.keys():
            self._circuits.remove(name)
        self._told_circuits = set(states)
        for name, state in states.items():
            self._circuits.labels(name).set(CIRCUITS[state])

    def queued(self, waiting: Mapping[str, int]) -> None:
        for queue, number in waiting.items():
            self._queued.labels(queue).set(number)

    def rated(self, plan: str, quality: float, reward: float | None, at_s: float) -> None:
        self._quality.labels(plan).observe(quality)
        if reward is not None:
            self._reward.labels(plan).observe(reward)
        if at_s:
            self._last_feedback.set(at_s)

    def decision(self, plan: str, *, explored: bool) -> None:
        self._decisions.labels(plan, str(explored).lower()).inc()

    def step(self, plan: str, step: str) -> None:
        self._steps.labels(plan, step).inc()

    def audit(self, result: str) -> None:
        self._audits.labels(result).inc()

    def evidence_wish(self, why: str, share: float) -> None:
        self._evidence_wishes.labels(why).inc()
        self._evidence_share.set(share)

    def evidence(self, result: str, cost_usd: float) -> None:
        self._evidence.labels(result).inc()
        self._evidence_cost.inc(cost_usd)

    def evidence_known(self, prompts: float, spent_usd: float, worth_usd: float) -> None:
        self._evidence_prompts.set(prompts)
        self._evidence_spent.set(spent_usd)
        self._evidence_worth.set(worth_usd)

    def cache(self, status: CacheStatus) -> None:
        self._cache.labels(status.value).inc()

    def coalesced(self, result: str) -> None:
        self._coalesced.labels(result).inc()

    def stage(self, name: str, seconds: float) -> None:
        self._stages.labels(name).observe(seconds)

    def feedback(self, kind: str) -> None:
        self._feedback.labels(kind).inc()
        if kind in SAID:
            self._last_feedback.set_to_current_time()

    def degraded(self, what: str) -> None:
        self._degraded.labels(what).inc()

    def certificate(self, expires_s: float) -> None:
        self._certificate.set(expires_s)

    def orphans(self, count: int, charged_usd: float) -> None:
        self._orphans.inc(count)
        self._orphaned_usd.inc(charged_usd)

    def served_degraded(self, result: str) -> None:
        self._served_degraded.labels(result).inc()

    def spooled(self, kind: str) -> None:
        self._spooled.labels(kind).inc()

    def unspooled(self, kind: str, result: str) -> None:
        self._unspooled.labels(kind, result).inc()

    def spool(self, entries: int, size_bytes: int, oldest_s: float) -> None:
        for gauge, value in zip(self._spool, (entries, size_bytes, oldest_s), strict=True):
            gauge.set(value)

    def loop_finished(self, loop: str) -> None:
        self._loops.labels(loop).set_to_current_time()

    def loop_restarted(self, loop: str, why: str) -> None:
        self._restarts.labels(loop, why).inc()

    def storage_failed(self, kind: str) -> None:
        self._store_failures.labels(kind).inc()

    def deviates(self, plan: str) -> None:
        self._deviations.labels(plan).inc()

    def verifier(self, *, serving: bool) -> None:
        self._verifier.set(serving)

    def sign(self, name: str, weight: float) -> None:
        self._sign.labels(name).set(weight)

    def promise(self, plan: str, status: PromiseStatus) -> None:
        none = 2.0  # no score is as high
        told = {
            "threshold": none if status.threshold is None else status.threshold,
            "evidence": status.evidence,
            "evidence_wanted": status.evidence_wanted,
            "labels": status.labels,
            "epoch": status.epoch,
        }
        for what, value in told.items():
            self._promise.labels(plan, what).set(value)

    def learner(self, *, serving: bool) -> None:
        self._learner.set(serving)

    def learner_ended(self) -> None:
        self._learner_ends.inc()

    def learned(self, events: int, backlog: int) -> None:
        self._learned.inc(events)
        self._backlog.set(backlog)

    def store_memory(self, used_bytes: int, limit_bytes: int) -> None:
        self._memory.set(used_bytes)
        self._memory_limit.set(limit_bytes)

    def store_findings(self, what: Sequence[str]) -> None:
        self._findings.clear()
        for name in what:
            self._findings.labels(name).set(1)

    def leads(self, *, leading: bool) -> None:
        self._leader.set(leading)

    def log_lost(self) -> None:
        self._lost.inc()

    def snapshot(self, version: int) -> None:
        self._version.set(version)
        self._since.set_to_current_time()

    def staleness(self, events: int, seconds: float) -> None:
        self._behind.set(events)
        self._behind_s.set(seconds)

    def snapshot_refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def standings(self, champion: str, found: Sequence[GainFound]) -> None:
        self._champion.clear()
        self._champion.labels(champion).set(1)
        for gauge in (self._gain, self._gain_low, self._gain_events):
            gauge.clear()
        for one in found:
            self._gain.labels(one.member).set(one.gain)
            self._gain_low.labels(one.member).set(-math.inf if one.low is None else one.low)
            self._gain_events.labels(one.member).set(one.events)

    def policy_changed(self, change: PolicyChanged) -> None:
        move = "refused" if change.refused else change.move.value
        self._changes.labels(move, change.by.value).inc()


REPORTED = "reported"
_OWN = (
    "passed",
    "empty",
    "refusal",
    "filtered",
    "cut_off",
    "tool_call_missing",
    "tool_call_invalid",
    "json_invalid",
    "schema_mismatch",
    "low_logprob",
    "caller_cancelled",
    JUDGED,
    UNJUDGED,
    "internal",
    "no_healthy_deployment",
    "deployment_busy",
)
_ERRORS: tuple[type[ProviderError], ...] = (ProviderError, *ProviderError.__subclasses__())
_FAILURES = (error.reason.lower() for error in _ERRORS)
_WHYS = frozenset((*_OWN, *_FAILURES))


def _quick(metric: M) -> M:
    """Returns a metric that keeps its children at hand, of those that are never cleared.

    To look one up takes longer than to count.
    """
    metric.labels = lru_cache(MOST_CHILDREN)(metric.labels)  # type: ignore[method-assign]
    return metric


def _tokens_of(attempt: Attempt) -> tuple[tuple[str, int], ...]:
    cached, written = attempt.cached_tokens, attempt.written_tokens
    return (
        ("input", attempt.input_tokens - cached - written),
        ("cached", cached),
        ("written", written),
        ("output", attempt.output_tokens - attempt.reasoning_tokens),
        ("reasoning", attempt.reasoning_tokens),
    )


def _known(why: str) -> str:
    """A caller of Decide writes its own reason: as a label it could be anything."""
    return why if why in _WHYS else REPORTED
