"""The schema of a config file. Every section has defaults; only `arms` must be written.

A section that one room alone reads is that room's settings, or extends them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, HttpUrl, model_validator

from router.config.patterns import FIELD, FIELD_PATH, HEADER, NAME, NODE, PROXY
from router.config.policy_schema import PolicySection
from router.config.section import ConfigSection
from router.degraded.settings import DegradedSettings
from router.domain.bounds import Count, Milliseconds, Share
from router.domain.catalog import PROVIDERS
from router.gates.format_checks import FormatCheckSettings
from router.gates.verifier_breaker import VerifierBreakerSettings
from router.learning.promotion import ContestSettings
from router.ports.state import HealthPolicy, SessionSettings
from router.serving.audits import AuditSettings
from router.serving.cascade import CascadeSettings
from router.serving.earlier_answers import ResponseCacheSettings
from router.serving.evidence.settings import EvidenceSettings
from router.serving.rephrase import RephraseSettings
from router.serving.sampling import PromptSamplerSettings

if TYPE_CHECKING:
    ProviderName: TypeAlias = str
else:
    ProviderName = Literal[tuple(PROVIDERS)]
UsdPerMtok = Annotated[float, Field(ge=0, le=1e6)]
Port = Annotated[int, Field(ge=0, le=65_535, strict=True)]
Name = Annotated[str, Field(pattern=NAME)]
NodeName = Annotated[str, Field(pattern=NODE, max_length=300)]
Rungs = Annotated[tuple[Name, ...], Field(min_length=1, max_length=4)]
FieldName = Annotated[str, Field(pattern=FIELD)]
FieldPath = Annotated[str, Field(pattern=FIELD_PATH)]
HeaderName = Annotated[str, Field(pattern=HEADER)]
PromptCaching = Annotated[
    Literal["automatic", "off"],
    BeforeValidator(lambda written: "off" if written is False else written),
]
GateName = Literal["learned", "agreement", "rules"]


class TlsSection(ConfigSection):
    """TLS of the gRPC and HTTP APIs. Changed files are put in place without a restart."""

    certificate: Path
    """PEM file of the certificate and its chain, its own first."""
    key: Path
    """PEM file of the certificate's private key, without a password."""
    client_ca: Path | None = None
    """PEM file of the authorities whose clients may call, and nobody else; unset: anyone may."""


class ServerSection(ConfigSection):
    """The address of the API, its limits, and how changes of this file are picked up."""

    host: str = "127.0.0.1"
    """Address or host name to listen on: `0.0.0.0` in a container, `::` for IPv4 and IPv6."""
    port: Port = 8480
    """Port of the gRPC API; 0 picks a free one."""
    http_port: Port | None = None
    """Port of the HTTP API; 0 picks a free one. Unset: there is none."""
    tls: TlsSection | None = None
    """TLS of both APIs; unset: they speak in the clear. Metrics always do."""
    metrics_port: Port = 9480
    """Port of the Prometheus metrics, the embedded learner's on the next; 0 picks a free one."""
    tenant_metrics: Annotated[int, Field(ge=0, le=1_000)] = 0
    """Tenants whose spend and budget the metrics tell by name, the first that come; those above it
    are one, `_other`. 0: metrics name no tenant."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least level of the log's lines; each call is one of `info`."""
    max_in_flight: Count = 256
    """Calls under way at once; above it calls are refused with `OVERLOADED`."""
    max_message_bytes: Count = 4 * 1024 * 1024
    """Size of a gRPC message, request or response."""
    max_body_bytes: Count | None = None
    """Bytes of all requests that are read or worked on, at least twice `max_message_bytes`; unset:
    16 times that. In memory they take about four times as much."""
    tenant_share: Annotated[float, Field(ge=0.05, le=1)] = 0.75
    """Share of `max_in_flight` and `max_body_bytes` for one tenant alone; the more tenants are busy
    the less it is, so that a quiet one gets in. 1: no bound but the whole."""
    body_timeout_ms: Count = 5_000
    """Time that a caller has to send a request."""
    stall_ms: Count = 20_000
    """Time that a caller has to read one message of a stream."""
    ping_ms: Count = 15_000
    """Silence after which a stream over HTTP is given a sign of life; what fails after one is
    told by an event in place of a status."""
    max_connection_age_ms: Count | None = None
    """Age at which a connection is asked to close, so that clients find new replicas; calls on it
    have `drain_ms` to end. Unset: connections stay."""
    drain_ms: Count | None = None
    """Time that calls under way have to end after SIGTERM; unset: the longest `timeout_ms` of a
    deployment and five seconds."""
    reload_ms: Annotated[int, Field(ge=100, le=60_000, strict=True)] = 2_000
    """How often this file, and the files of keys, certificates, authorities and map it names, are
    looked at."""


class PriceSection(ConfigSection):
    """The provider's list price, in USD per million tokens."""

    input_usd_per_mtok: UsdPerMtok
    """Price of a million input tokens."""
    output_usd_per_mtok: UsdPerMtok
    """Price of a million output tokens, reasoning tokens included."""
    cached_input_usd_per_mtok: UsdPerMtok | None = None
    """Price of a million input tokens that the provider had cached; unset: as input."""
    cache_write_usd_per_mtok: UsdPerMtok | None = None
    """Price of a million input tokens that the provider writes to its cache; unset: as input."""
    reasoning_usd_per_mtok: UsdPerMtok | None = None
    """Price of a million tokens of hidden reasoning; unset: as output."""


class DeploymentSection(ConfigSection):
    """One model behind one base URL, and what it can do."""

    name: Name
    """Name of the deployment, unique in the file."""
    provider: ProviderName
    """The protocol that the base URL speaks, not the company."""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """The provider's name of the model."""
    price: PriceSection
    """Its list price."""
    base_url: HttpUrl | None = None
    """URL of the API; unset: the public one of the provider."""
    api_key_env: str = ""
    """Environment variable that holds the key."""
    api_key_file: Path | None = None
    """File that holds the key alone; in place of `api_key_env`."""
    context_window_tokens: Count = 128_000
    """Input and output tokens together; longer requests go to other deployments."""
    max_output_tokens: Count = 4_096
    """Longest answer; sent as the limit where the request gives none."""
    timeout_ms: Count = 60_000
    """Longest wait for an answer, whole or streamed to its end."""
    first_byte_ms: Count | None = None
    """Longest wait for the first byte of a streamed answer; unset: `timeout_ms`."""
    between_bytes_ms: Count | None = None
    """Longest wait between two pieces of a streamed answer; unset: `timeout_ms`."""
    max_in_flight: Count | None = None
    """Attempts under way at once in a router; above it the next deployment is tried. One tenant
    alone has nine tenths of them, or `server.tenant_share` if that is more. Unset: three quarters
    of `server.max_in_flight` or of `providers.max_connections`, whichever is less, and all of it
    where there is no other deployment."""
    always_stream: bool = False
    """Ask for whole answers as a stream too, so that one cut short is charged at what was heard of
    it; else it is charged at its output limit."""
    tools: bool = True
    """Takes requests with tools."""
    images: bool = False
    """Takes requests with images."""
    json_schema: bool = True
    """Takes requests with a JSON Schema for the answer."""
    logprobs: bool = False
    """Gives log-probabilities, for `gate.min_mean_logprob`."""
    parameters: dict[str, Any] = Field(default_factory=dict, max_length=64)
    """Fields of its own that every request carries, such as `{reasoning_effort: high}`; merged into
    what the router sends, and stronger than what the caller set."""
    omit: Annotated[tuple[FieldPath, ...], Field(max_length=32)] = ()
    """Fields that are never sent, such as `[temperature]`; with dots within objects."""
    headers: dict[HeaderName, str] = Field(default_factory=dict, max_length=16)
    """Further HTTP headers: name to the environment variable that holds the value."""
    limit_field: FieldName | None = None
    """Name of the output limit with `openai`: `max_tokens` or `max_completion_tokens`. Unset: as
    the host takes it."""
    stream_usage: bool | None = None
    """Ask streams of `openai` for their usage; `no` where `stream_options` is refused. Unset: as
    the host takes it."""
    strict_schema: Literal["auto", True, False] = "auto"
    """Strict mode of a JSON Schema with `openai`; `auto`: `yes` for a schema that strict mode takes
    for certain."""
    max_stops: Annotated[int, Field(ge=0, le=64)] | None = None
    """Stop sequences that it takes; at further ones the router cuts the answer. Unset: as the host
    takes them."""
    max_temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    """Highest temperature that it takes; a higher one is sent as this. Unset: as the host takes
    it."""
    call_id_length: Annotated[int, Field(ge=6, le=40)] | None = None
    """Tool-call ids are made exactly so many letters and digits, 9 for Mistral's models; unset: as
    the host takes them."""
    prompt_caching: PromptCaching = "off"
    """`automatic`: tell a provider of `anthropic` to cache tools, system prompt and conversation.
    `off`: tell it nothing. Other providers cache by themselves, and are told nothing."""
    cache_ttl_s: Annotated[int, Field(ge=1, le=86_400, strict=True)] = 300
    """How long the provider keeps a prefix that was read or written; 3600 with `prompt_caching:
    automatic` asks for that long, at a higher price of writing."""
    cache_least_tokens: Count = 1_024
    """Shorter prefixes are not kept by the provider."""
    alternate_roles: bool | None = None
    """Send one system message, then user and assistant in turn, for chat templates that refuse
    anything else. Unset: as the host takes them."""


class ArmSection(ConfigSection):
    """A named choice of the policy: deployments that can stand in for one another."""

    deployments: Annotated[tuple[DeploymentSection, ...], Field(min_length=1, max_length=16)]
    """Deployments in the order in which they are tried."""


class PlanSection(ConfigSection):
    """An arm alone, or a ladder of arms. A bare list is its `rungs`, with gate `rules`."""

    rungs: Rungs
    """Arms from the first tried to the last."""
    gate: GateName = "learned"
    """Gate that chooses the next step after a first answer that passed the checks."""
    second: str = ""
    """Arm that the gate may ask for a second opinion; empty for none."""

    @model_validator(mode="before")
    @classmethod
    def _from_rungs(cls, written: Any) -> Any:
        return written if isinstance(written, dict) else {"rungs": written, "gate": "rules"}


class ProvidersSection(ConfigSection):
    """The connections to providers."""

    http2: bool = False
    """Offer HTTP/2. A call that is given up is then not ended at the provider."""
    ca_file: Path | None = None
    """PEM file of certificate authorities that are trusted besides the public ones."""
    max_connections: Count = 512
    """Connections to all providers together."""
    proxy: Annotated[str, Field(pattern=PROXY)] = "environment"
    """Proxy on the way to providers and verifier: its URL, `none`, or `environment` for
    `HTTPS_PROXY`, `HTTP_PROXY` and `ALL_PROXY`. Hosts of `NO_PROXY` are called directly. A password
    may stand in the environment alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierSection(VerifierBreakerSettings):
    """A program that scores answers: POST {messages, answer, arm, ...}, {"quality": 0..1} back."""

    url: HttpUrl
    """URL that answers are posted to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingSection(AuditSettings):
    """Bounds of what gates may ask besides the first answer, and of audits."""

    second_timeout_ms: Milliseconds = 10_000
    """Longest wait for a second opinion."""
    verifier: VerifierSection | None = None
    """A verifier of yours; unset: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapSection(PromptSamplerSettings):
    """Samples kept of prompts for `adaptive-router map`; by default none."""

    refit_every_h: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """How often the learner fits clusters anew, into the file `policy.context_map`; 0 for never."""


class EmbeddedSection(ConfigSection):
    """The private Redis server that is started where no URL is given."""

    data_dir: Path | None = None
    """Directory of the private server's data; unset: in the user's data directory."""
    appendfsync: Literal["always", "everysec"] = "always"
    """`always`: what is acknowledged is on disk. `everysec`: faster, may lose a second."""


class NodesSection(ConfigSection):
    """Servers to ask for the way, and how to sign in at the server they name."""

    nodes: Annotated[tuple[NodeName, ...], Field(min_length=1, max_length=64)]
    """Addresses, each `HOST:PORT`; `[ADDRESS]:PORT` for IPv6."""
    username: str = ""
    """User name at Redis; empty for the default user."""
    password_env: str = ""
    """Environment variable that holds the password at Redis."""
    tls: bool = False
    """Speak TLS, to all of them."""
    ca_file: Path | None = None
    """PEM file of the authorities that are trusted with `tls`; unset: the public ones."""


class SentinelSection(NodesSection):
    """Sentinels, which name the master: a failover is followed."""

    service: Annotated[str, Field(min_length=1, max_length=256)]
    """Name that the Sentinels know the master by."""
    database: Annotated[int, Field(ge=0, le=65_535)] = 0
    """Number of the database."""
    sentinel_username: str = ""
    """User name at the Sentinels."""
    sentinel_password_env: str = ""
    """Environment variable that holds the password at the Sentinels."""


class ClusterSection(NodesSection):
    """A Redis Cluster. All keys are in one slot, `{ar}:...`: one shard holds the whole store."""


class RedisSection(ConfigSection):
    """The store: a Redis 8 of yours, or a private server."""

    url: str = ""
    """Address of a Redis 8, without a password; empty, with `url_env` empty as well, for a private
    server."""
    url_env: str = ""
    """Environment variable that holds the address, which may contain a password."""
    sentinel: SentinelSection | None = None
    """Sentinels to ask for the master, in place of a URL; unset: none."""
    cluster: ClusterSection | None = None
    """Nodes of a Redis Cluster, in place of a URL; unset: none."""
    embedded: EmbeddedSection = EmbeddedSection()
    """The private server."""
    pool_size: Annotated[int, Field(ge=2, le=256)] = 16
    """Connections to Redis per process."""
    timeout_ms: Count = 1_000
    """Longest wait for a command or a connection."""
    max_events: Count = 1_000_000
    """Events not learned yet that the log holds; then requests are refused with `OVERLOADED`."""
    keep_decisions_s: Count = 604_800
    """How long a decision can be read and explained; less than `learning.join_window_s` and an hour
    counts as that."""
    keep_events: Annotated[int, Field(ge=0)] = 100_000
    """Learned events that stay in the log, for replay, maps and evaluation."""


class EmbeddingSection(ConfigSection):
    """The embedding model, which runs in the router's process."""

    workers: Annotated[int, Field(ge=1, le=64)] | None = None
    """Threads with a model session each; unset: one per core."""
    queue: Count = 256
    """Prompts that wait for a worker; above it requests are refused with `OVERLOADED`."""
    cache_entries: Count = 10_000
    """Embeddings kept in memory, by text."""


class LearningSection(ConfigSection):
    """The learner, and the weight of what it hears."""

    embedded: bool = True
    """`serve` starts a learner as its child; `no` where learners run apart."""
    join_window_s: Count = 86_400
    """How long a decision waits for feedback; feedback after it is refused."""
    default_quality: Share | None = None
    """Quality learned, with `implicit_weight`, for an answer without feedback in the join window;
    unset: nothing is learned of it."""
    publish_every_ms: Count = 1_000
    """How often the learner publishes a snapshot, when there is something new."""
    poll_ms: Annotated[int, Field(ge=10, le=2_000)] = 250
    """How often routers look for a new snapshot."""
    implicit_weight: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Weight of an implicit sign of quality beside explicit feedback, before it is learned."""
    max_tenant_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Greatest share of the weight of feedback that one tenant has beside others; 1: no bound."""
    own_policies: Annotated[tuple[str, ...], Field(max_length=8)] = ()
    """Tenants that a policy of their own chooses for; it begins as the one of all tenants."""
    own_strength: Annotated[float, Field(ge=1, le=1e6)] = 200.0
    """Outcomes that the shared past counts for in such a policy: of each plan with `adaptive`, of
    all plans together with another policy."""
    reask: RephraseSettings = RephraseSettings()
    """Questions asked again within a session."""


class AuthSection(ConfigSection):
    """Who may call."""

    required: bool = True
    """Refuse callers without a key; with `no` they are the tenant `public`."""
    admin_key_env: str = ""
    """Environment variable that holds the operators' key; empty: there is no `AdminService`."""


class Config(ConfigSection):
    """The whole file."""

    arms: Annotated[dict[Name, ArmSection], Field(min_length=1, max_length=32)]
    """The arms, by name. The only section that has to be written."""
    fallback: str = ""
    """Arm that stands in where every deployment of a rung failed; unset: the arm named `fallback`,
    if there is one."""
    plans: dict[Name, PlanSection] = Field(default_factory=dict, max_length=64)
    """The plans, by name; unset: each arm alone, and `cheap-then-reasoning` where there are arms of
    both names."""
    renamed: dict[Name, Name] = Field(default_factory=dict, max_length=64)
    """Earlier name of an arm or plan to its name today: it keeps what was learned of it."""
    policy: PolicySection = PolicySection()
    """The policy that chooses among plans."""
    challengers: dict[Name, PolicySection] = Field(default_factory=dict, max_length=4)
    """Policies that learn beside it and serve nothing, by name: what differs from `policy`."""
    promotion: ContestSettings = ContestSettings()
    """When a challenger takes over."""
    server: ServerSection = ServerSection()
    """The API's address and limits."""
    gate: FormatCheckSettings = FormatCheckSettings()
    """The checks between rungs."""
    judging: JudgingSection = JudgingSection()
    """Second opinions, verifier and audits."""
    attempts: CascadeSettings = CascadeSettings()
    """Bounds on provider calls."""
    providers: ProvidersSection = ProvidersSection()
    """Connections to providers."""
    cache: ResponseCacheSettings = ResponseCacheSettings()
    """The answer cache."""
    sessions: SessionSettings = SessionSettings()
    """Conversations."""
    health: HealthPolicy = HealthPolicy()
    """The circuit breaker."""
    redis: RedisSection = RedisSection()
    """The store."""
    degraded: DegradedSettings = DegradedSettings()
    """Serving on while Redis is away."""
    embedding: EmbeddingSection = EmbeddingSection()
    """The embedding model."""
    learning: LearningSection = LearningSection()
    """The learner."""
    auth: AuthSection = AuthSection()
    """Keys."""
    evidence: EvidenceSettings | None = None
    """Evidence bought on live traffic; unset: none is."""
    map: MapSection = MapSection()
    """Samples kept of prompts for the map."""
