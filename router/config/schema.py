"""What a config file may say. Every section has defaults; only `arms` must be written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, HttpUrl, model_validator

from router.config.judging_schema import JudgingSection
from router.config.learning_schema import LearningSection, PromotionSection
from router.config.map_schema import MapSection
from router.config.policy_schema import PolicySection
from router.config.section import Section
from router.config.service_schema import (
    AttemptsSection,
    AuthSection,
    CacheSection,
    Count,
    EmbeddingSection,
    HealthSection,
    ProvidersSection,
    RedisSection,
    ServerSection,
)

UsdPerMtok = Annotated[float, Field(ge=0, le=1e6)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]
Rungs = Annotated[tuple[Name, ...], Field(min_length=1, max_length=4)]
GateName = Literal["learned", "agreement", "rules"]

BASE_URLS = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
}


class PriceSection(Section):
    """The provider's list price, in USD per million tokens."""

    input_usd_per_mtok: UsdPerMtok
    """Price of a million input tokens."""
    output_usd_per_mtok: UsdPerMtok
    """Price of a million output tokens, reasoning tokens included."""


class DeploymentSection(Section):
    """One model behind one base URL, and what it can do."""

    name: Name
    """Name of the deployment, unique in the file."""
    provider: Literal["openai", "anthropic", "gemini"]
    """The protocol that the base URL speaks, not the company."""
    model: Annotated[str, Field(min_length=1, max_length=256)]
    """The provider's name of the model."""
    price: PriceSection
    """Its list price."""
    base_url: HttpUrl | None = None
    """Where requests go; unset: the public API of the provider."""
    api_key_env: str = ""
    """Environment variable that holds the key."""
    api_key_file: Path | None = None
    """File that holds the key alone; in place of `api_key_env`."""
    context_window_tokens: Count = 128_000
    """Input and output tokens together; longer requests go to other deployments."""
    max_output_tokens: Count = 4_096
    """Longest answer; sent as the limit where the request gives none."""
    timeout_ms: Count = 60_000
    """Longest wait for an answer."""
    tools: bool = True
    """Takes requests with tools."""
    images: bool = False
    """Takes requests with images."""
    json_schema: bool = True
    """Takes requests with a JSON Schema for the answer."""
    logprobs: bool = False
    """Gives log-probabilities, for `gate.min_mean_logprob`."""


class ArmSection(Section):
    """A named choice of the policy: deployments that can stand in for one another."""

    deployments: Annotated[tuple[DeploymentSection, ...], Field(min_length=1, max_length=16)]
    """Deployments in the order in which they are tried."""


class PlanSection(Section):
    """An arm alone, or a ladder of arms. A bare list is its `rungs`, with gate `rules`."""

    rungs: Rungs
    """Arms from the first tried to the last."""
    gate: GateName = "learned"
    """What chooses the next step after a first answer that passed the checks."""
    second: str = ""
    """Arm that the gate may ask for a second opinion; empty for none."""

    @model_validator(mode="before")
    @classmethod
    def _from_rungs(cls, written: Any) -> Any:
        return written if isinstance(written, dict) else {"rungs": written, "gate": "rules"}


class GateSection(Section):
    """The checks between two rungs of every plan."""

    refusals: bool = True
    """Escalate an answer that reads like a refusal."""
    min_mean_logprob: Annotated[float, Field(le=0)] | None = None
    """Escalate an answer whose mean log-probability (natural) is lower; unset: no check."""


class Config(Section):
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
    promotion: PromotionSection = PromotionSection()
    """When a challenger takes over."""
    server: ServerSection = ServerSection()
    """The API's address and limits."""
    gate: GateSection = GateSection()
    """The checks between rungs."""
    judging: JudgingSection = JudgingSection()
    """Second opinions, verifier and audits."""
    attempts: AttemptsSection = AttemptsSection()
    """Bounds on provider calls."""
    providers: ProvidersSection = ProvidersSection()
    """Connections to providers."""
    cache: CacheSection = CacheSection()
    """The answer cache."""
    health: HealthSection = HealthSection()
    """The circuit breaker."""
    redis: RedisSection = RedisSection()
    """The store."""
    embedding: EmbeddingSection = EmbeddingSection()
    """The embedding model."""
    learning: LearningSection = LearningSection()
    """The learner."""
    auth: AuthSection = AuthSection()
    """Keys."""
    map: MapSection = MapSection()
    """What is kept of prompts for the map."""
