"""What a config file may say. Every section has defaults; only `arms` must be written.

A section that one room alone reads is that room's settings, or extends them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, HttpUrl, model_validator

from router.config.policy_schema import PolicySection
from router.config.section import Section
from router.domain.bounds import Count, Milliseconds, Share
from router.domain.catalog import PROVIDERS
from router.gates.format_checks import FormatCheckSettings
from router.gates.verifier_breaker import VerifierBreakerSettings
from router.learning.promotion import ContestSettings
from router.ports.state import HealthPolicy
from router.serving.audits import AuditSettings
from router.serving.cascade import CascadeSettings
from router.serving.rephrase import RephraseSettings
from router.serving.response_cache import ResponseCacheSettings
from router.serving.sampling import PromptSamplerSettings

if TYPE_CHECKING:
    ProviderName: TypeAlias = str
else:
    ProviderName = Literal[tuple(PROVIDERS)]
UsdPerMtok = Annotated[float, Field(ge=0, le=1e6)]
Port = Annotated[int, Field(ge=0, le=65_535, strict=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Rungs = Annotated[tuple[Name, ...], Field(min_length=1, max_length=4)]
GateName = Literal["learned", "agreement", "rules"]


class ServerSection(Section):
    host: str = "127.0.0.1"
    """Address that gRPC and metrics listen on."""
    port: Port = 8480
    """Port of gRPC; 0 picks a free one."""
    metrics_port: Port = 9480
    """Port of the metrics; 0 picks a free one."""
    max_in_flight: Count = 256
    """Requests under way at once; further ones are refused."""
    max_message_bytes: Count = 4 * 1024 * 1024
    """Size of a message that is received."""
    drain_ms: Count = 20_000
    """Time for calls under way to end at SIGTERM."""
    reload_ms: Annotated[int, Field(ge=100, le=60_000, strict=True)] = 2_000
    """How often this file is looked at for arms and plans that were changed."""


class PriceSection(Section):
    input_usd_per_mtok: UsdPerMtok
    """Price of a million input tokens."""
    output_usd_per_mtok: UsdPerMtok
    """Price of a million output tokens."""


class DeploymentSection(Section):
    name: Name
    """Name that receipts, metrics and health give it; unique over all arms."""
    provider: ProviderName
    """Protocol that it speaks."""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """Name of the model at the provider."""
    price: PriceSection
    """Prices that budgets and the policy count with."""
    base_url: HttpUrl | None = None
    """URL of the API; unset, the provider's public one."""
    api_key_env: str = ""
    """Environment variable that holds the API key."""
    api_key_file: Path | None = None
    """File that holds the API key."""
    context_window_tokens: Count = 128_000
    """Tokens of a prompt and its answer together."""
    max_output_tokens: Count = 4_096
    """Tokens of an answer at most."""
    timeout_ms: Count = 60_000
    """Time limit of one call."""
    tools: bool = True
    """Takes tools."""
    images: bool = False
    """Takes images."""
    json_schema: bool = True
    """Takes a JSON Schema for its answer."""
    logprobs: bool = False
    """Is asked for log-probabilities, where its protocol has them."""


class ArmSection(Section):
    deployments: Annotated[tuple[DeploymentSection, ...], Field(min_length=1, max_length=16)]
    """Deployments of the arm in the order in which they are tried."""


class PlanSection(Section):
    """A bare list of arms stands for its rungs, with the gate `rules`."""

    rungs: Rungs
    """Arms from the first that is asked to the last that is escalated to."""
    gate: GateName = "learned"
    """Gate that judges the first rung's answer."""
    second: str = ""
    """Arm that is asked for a second opinion; "" for none."""

    @model_validator(mode="before")
    @classmethod
    def _from_rungs(cls, written: Any) -> Any:
        return written if isinstance(written, dict) else {"rungs": written, "gate": "rules"}


class ProvidersSection(Section):
    http2: bool = False
    """Offer HTTP/2. A call that is given up is then not ended at the provider."""
    ca_file: Path | None = None
    """PEM file of authorities to trust besides the public ones, for providers of your own."""
    max_connections: Count = 512
    """Connections to all providers together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierSection(VerifierBreakerSettings):
    """A program that scores answers: POST {messages, answer, arm, ...}, {"quality": 0..1} back."""

    url: HttpUrl
    """URL of the program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingSection(AuditSettings):
    second_timeout_ms: Milliseconds = 10_000
    """Longest wait for a second opinion."""
    verifier: VerifierSection | None = None
    """A program that scores answers; unset, there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSection(PromptSamplerSettings):
    """What is kept of prompts for `adaptive-router map`; by default nothing."""

    refit_every_h: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """How often the learner fits clusters anew into `policy.context_map`; 0 for never."""


class EmbeddedSection(Section):
    data_dir: Path | None = None
    """Directory of the private server's data; unset, one in the user's data directory."""
    appendfsync: Literal["always", "everysec"] = "always"
    """Acknowledge a write when it is on disk (always), or lose up to a second (everysec)."""


class RedisSection(Section):
    """A Redis 8 behind a URL; without one a private server."""

    url: str = ""
    """redis://, rediss:// or unix:// URL without a password."""
    url_env: str = ""
    """Environment variable that holds the URL, which may then hold a password."""
    embedded: EmbeddedSection = EmbeddedSection()
    """The private server."""
    pool_size: Annotated[int, Field(ge=2, le=256)] = 16
    """Connections at most."""
    timeout_ms: Count = 1_000
    """Time limit of one call, waiting for a connection included."""
    max_events: Count = 1_000_000
    """Events not yet learned at which new requests are refused."""
    keep_events: Annotated[int, Field(ge=0)] = 100_000
    """Learned events that stay at least, to be exported, evaluated and explained."""


class EmbeddingSection(Section):
    workers: Annotated[int, Field(ge=1, le=64)] | None = None
    """Threads that embed prompts; unset, one per core."""
    queue: Count = 256
    """Prompts that may wait for a thread; further ones are refused."""
    cache_entries: Count = 10_000
    """Embeddings that are remembered."""


class LearningSection(Section):
    embedded: bool = True
    """Start a learner as the router's child; no where learners run apart."""
    join_window_s: Count = 86_400
    """How long after a decision feedback is taken."""
    default_quality: Share | None = None
    """Quality learned for an answer without feedback in the join window; unset, nothing is."""
    publish_every_ms: Count = 1_000
    """How often the learner publishes what it has learned."""
    poll_ms: Annotated[int, Field(ge=10, le=2_000)] = 250
    """How often a router looks for a newer snapshot."""
    implicit_weight: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Weight of implicit signs, such as a rephrased prompt, beside feedback."""
    max_tenant_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share one tenant may have of the weight of feedback where others give some; 1, no bound."""
    own_policies: Annotated[tuple[str, ...], Field(max_length=8)] = ()
    """Tenants that a policy of their own chooses for; it begins as the one of all tenants."""
    own_strength: Annotated[float, Field(ge=1, le=1e6)] = 200.0
    """Outcomes of each plan that the shared past counts for there (policy `adaptive`)."""
    reask: RephraseSettings = RephraseSettings()
    """Prompts that a session asks again, which marks the answer before as a bad one."""


class AuthSection(Section):
    required: bool = True
    """Refuse callers without a key; no makes them the tenant `public`."""
    admin_key_env: str = ""
    """Environment variable that holds the operators' key; "" for no admin service."""


class Config(Section):
    arms: Annotated[dict[Name, ArmSection], Field(min_length=1, max_length=32)]
    """Arms by name."""
    fallback: str = ""
    """Arm that is tried when all others fail; unset, the one of the name `fallback`."""
    plans: dict[Name, PlanSection] = Field(default_factory=dict, max_length=64)
    """Plans by name; without any, each arm alone, and cheap before reasoning."""
    renamed: dict[Name, Name] = Field(default_factory=dict, max_length=64)
    """Earlier name -> name today of an arm or plan, which keeps what was learned of it."""
    policy: PolicySection = PolicySection()
    """How plans are chosen."""
    challengers: dict[Name, PolicySection] = Field(default_factory=dict, max_length=4)
    """Policies that are compared with the one that serves: what differs from `policy`."""
    promotion: ContestSettings = ContestSettings()
    """When a challenger takes over."""
    server: ServerSection = ServerSection()
    """Where the router listens."""
    gate: FormatCheckSettings = FormatCheckSettings()
    """Checks of every answer that has a rung above it."""
    judging: JudgingSection = JudgingSection()
    """Second opinions, verifier and audits."""
    attempts: CascadeSettings = CascadeSettings()
    """Bounds of one request's calls."""
    providers: ProvidersSection = ProvidersSection()
    """Connections to providers."""
    cache: ResponseCacheSettings = ResponseCacheSettings()
    """Answers to requests that were answered before."""
    health: HealthPolicy = HealthPolicy()
    """Circuit breakers of deployments."""
    redis: RedisSection = RedisSection()
    """The store."""
    embedding: EmbeddingSection = EmbeddingSection()
    """The embedding model."""
    learning: LearningSection = LearningSection()
    """The learner."""
    auth: AuthSection = AuthSection()
    """Who may call."""
    map: MapSection = MapSection()
    """What is kept for `adaptive-router map`."""
