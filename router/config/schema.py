"""What a config file may say. Every section has defaults; only `arms` must be written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, HttpUrl, model_validator

from router.config.judging_schema import JudgingSection
from router.config.map_schema import MapSection
from router.config.policy_schema import PolicySection
from router.config.section import Section
from router.domain.catalog import PROVIDERS

UsdPerMtok = Annotated[float, Field(ge=0, le=1e6)]
Count = Annotated[int, Field(ge=1, le=2_000_000_000, strict=True)]
Port = Annotated[int, Field(ge=0, le=65_535, strict=True)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Rungs = Annotated[tuple[Name, ...], Field(min_length=1, max_length=4)]
GateName = Literal["learned", "agreement", "rules"]

if TYPE_CHECKING:
    ProviderName: TypeAlias = str
else:
    ProviderName = Literal[tuple(PROVIDERS)]


class ServerSection(Section):
    """port, metrics_port: 0 picks a free one. drain_ms: for calls under way at SIGTERM.

    reload_ms: how often this file is looked at for arms and plans that were changed.
    """

    host: str = "127.0.0.1"
    port: Port = 8480
    metrics_port: Port = 9480
    max_in_flight: Count = 256
    max_message_bytes: Count = 4 * 1024 * 1024
    drain_ms: Count = 20_000
    reload_ms: Annotated[int, Field(ge=100, le=60_000, strict=True)] = 2_000


class PriceSection(Section):
    input_usd_per_mtok: UsdPerMtok
    output_usd_per_mtok: UsdPerMtok


class DeploymentSection(Section):
    name: Name
    provider: ProviderName
    model: Annotated[str, Field(min_length=1, max_length=256)]
    price: PriceSection
    base_url: HttpUrl | None = None
    api_key_env: str = ""
    api_key_file: Path | None = None
    context_window_tokens: Count = 128_000
    max_output_tokens: Count = 4_096
    timeout_ms: Count = 60_000
    tools: bool = True
    images: bool = False
    json_schema: bool = True
    logprobs: bool = False


class ArmSection(Section):
    deployments: Annotated[tuple[DeploymentSection, ...], Field(min_length=1, max_length=16)]


class PlanSection(Section):
    """A bare list of arms stands for its rungs, with the gate `rules`.

    gate: of the first rung's answer. second: the arm asked for a second opinion; "" for none.
    """

    rungs: Rungs
    gate: GateName = "learned"
    second: str = ""

    @model_validator(mode="before")
    @classmethod
    def _from_rungs(cls, written: Any) -> Any:
        return written if isinstance(written, dict) else {"rungs": written, "gate": "rules"}


class GateSection(Section):
    refusals: bool = True
    min_mean_logprob: Annotated[float, Field(le=0)] | None = None


class AttemptsSection(Section):
    max_per_request: Annotated[int, Field(ge=1, le=20)] = 6
    min_remaining_ms: Annotated[int, Field(ge=0)] = 200


class ProvidersSection(Section):
    """http2: offer it. A call that is given up is then not ended at the provider (see README).

    ca_file: authorities to trust besides the public ones, PEM; for providers of your own.
    """

    http2: bool = False
    ca_file: Path | None = None
    max_connections: Count = 512


class CacheSection(Section):
    """semantic_threshold: cosine similarity, null to match whole requests only.

    One prompt gets another's answer only where the embedding model saw all of both: 254 tokens at
    most, no unknown word.
    """

    enabled: bool = True
    ttl_s: Count = 3_600
    semantic_threshold: Annotated[float, Field(gt=0.5, le=1)] | None = 0.97
    max_entries_per_partition: Count = 1_000


class HealthSection(Section):
    failures: Count = 3
    cooldown_ms: Count = 5_000
    max_cooldown_ms: Count = 60_000
    probe_ms: Count = 10_000


class EmbeddedSection(Section):
    data_dir: Path | None = None
    appendfsync: Literal["always", "everysec"] = "always"


class RedisSection(Section):
    """url or url_env (its value may hold a password) of a Redis 8; else a private server."""

    url: str = ""
    url_env: str = ""
    embedded: EmbeddedSection = EmbeddedSection()
    pool_size: Annotated[int, Field(ge=2, le=256)] = 16
    timeout_ms: Count = 1_000
    max_events: Count = 1_000_000
    keep_events: Annotated[int, Field(ge=0)] = 100_000


class EmbeddingSection(Section):
    """workers: threads with a model session each; unset: one per core."""

    workers: Annotated[int, Field(ge=1, le=64)] | None = None
    queue: Count = 256
    cache_entries: Count = 10_000


class ReaskSection(Section):
    window_s: Count = 300
    similarity: Annotated[float, Field(gt=0.5, le=1)] = 0.92


class LearningSection(Section):
    """embedded: serve starts a learner as its child; no where learners run apart.

    default_quality: learned, with implicit_weight, for an answer that had no feedback within the
    join window; unset: nothing is. max_tenant_share: of the weight of feedback one tenant may have
    where others give some as well; 1 for no bound. own_policies: tenants that a policy of their
    own chooses for; it begins as the one of all tenants, whose past then counts for own_strength
    outcomes of each plan (policy `adaptive`; for all of them with another).
    """

    embedded: bool = True
    join_window_s: Count = 86_400
    default_quality: Annotated[float, Field(ge=0, le=1)] | None = None
    publish_every_ms: Count = 1_000
    poll_ms: Annotated[int, Field(ge=10, le=2_000)] = 250
    implicit_weight: Annotated[float, Field(gt=0, le=1)] = 0.25
    max_tenant_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    own_policies: Annotated[tuple[str, ...], Field(max_length=8)] = ()
    own_strength: Annotated[float, Field(ge=1, le=1e6)] = 200.0
    reask: ReaskSection = ReaskSection()


class PromotionSection(Section):
    """When a challenger takes over from the policy that serves, and when that is taken back.

    automatic: as soon as the lower bound of its gain is above `margin` and as many decisions
    with feedback were seen; no where only `policy promote` does it. confidence: of all
    challengers' intervals together. guard: take a promotion back when the one before is surely
    better. max_waiting: decisions that wait for their feedback to count.
    """

    automatic: bool = False
    min_events: Annotated[int, Field(ge=30, le=10_000_000, strict=True)] = 1_000
    margin: Annotated[float, Field(ge=0, le=10)] = 0.005
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)] = 0.95
    guard: bool = True
    max_waiting: Annotated[int, Field(ge=100, le=50_000, strict=True)] = 2_000


class AuthSection(Section):
    """required: no means that callers without a key are the tenant `public`.

    admin_key_env: variable that holds the key of operators; without one there is no admin service.
    """

    required: bool = True
    admin_key_env: str = ""


class Config(Section):
    """renamed: earlier name -> name today of an arm or plan, which keeps what was learned of it."""

    arms: Annotated[dict[Name, ArmSection], Field(min_length=1, max_length=32)]
    fallback: str = ""
    plans: dict[Name, PlanSection] = Field(default_factory=dict, max_length=64)
    renamed: dict[Name, Name] = Field(default_factory=dict, max_length=64)
    policy: PolicySection = PolicySection()
    challengers: dict[Name, PolicySection] = Field(default_factory=dict, max_length=4)
    promotion: PromotionSection = PromotionSection()
    server: ServerSection = ServerSection()
    gate: GateSection = GateSection()
    judging: JudgingSection = JudgingSection()
    attempts: AttemptsSection = AttemptsSection()
    providers: ProvidersSection = ProvidersSection()
    cache: CacheSection = CacheSection()
    health: HealthSection = HealthSection()
    redis: RedisSection = RedisSection()
    embedding: EmbeddingSection = EmbeddingSection()
    learning: LearningSection = LearningSection()
    auth: AuthSection = AuthSection()
    map: MapSection = MapSection()
