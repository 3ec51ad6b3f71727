"""Deployments, arms and plans: what can be called, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from router.domain.chat import Usage

TOKENS_PER_MTOK = 1_000_000
MANY_TOKENS = 1_000_000_000
PROVIDERS: Final[Mapping[str, str]] = {
    "openai": "https://api.openai.com/v1",
    "anthropic": "https://api.anthropic.com",
    "gemini": "https://generativelanguage.googleapis.com",
    "responses": "https://api.openai.com/v1",
}
"""The protocols that providers speak, each with its default base URL. The adapter of a protocol is
the module of its name in `router.adapters.providers`.
"""
LIMIT_FIELDS: Final = ("max_tokens", "max_completion_tokens")
"""Names that the output limit goes by in OpenAI's protocol."""
ESCALATION_SHARE = 0.3
"""Share of answers assumed to escalate, before anything is known."""
ASKING_SHARE = 0.5
"""Share of answers assumed to be compared with a second opinion, before anything is known."""
LEAST_PRIOR_USD = 1e-7
"""A free model still needs a prior cost above 0: the cost head learns a ratio to it."""
RULES = "rules"
"""The gate that accepts whatever passed the certain checks."""
LEARNED = "learned"
"""The gate that learns when to accept at once, and when to escalate at once."""


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens, as price lists give it.

    None: cached and written input cost as input, reasoning as output.
    """

    input_usd_per_mtok: float
    output_usd_per_mtok: float
    cached_input_usd_per_mtok: float | None = None
    cache_write_usd_per_mtok: float | None = None
    reasoning_usd_per_mtok: float | None = None

    def cost_usd(self, usage: Usage) -> float:
        return (self._input(usage) + self._output(usage)) / TOKENS_PER_MTOK

    def input_cost_usd(self, usage: Usage) -> float:
        """Returns the cost of the input, each part at its own rate; the parts never exceed it.

        >>> Price(10, 30, 1, 12.5).input_cost_usd(Usage(1_000, 0, cached_tokens=800))
        0.0028
        """
        return self._input(usage) / TOKENS_PER_MTOK

    def _input(self, usage: Usage) -> float:
        cached = min(usage.cached_tokens, usage.input_tokens)
        written = min(usage.written_tokens, usage.input_tokens - cached)
        plain = usage.input_tokens - cached - written
        rate = self.input_usd_per_mtok
        return (
            plain * rate
            + cached * _or(self.cached_input_usd_per_mtok, rate)
            + written * _or(self.cache_write_usd_per_mtok, rate)
        )

    def _output(self, usage: Usage) -> float:
        reasoning = min(usage.reasoning_tokens, usage.output_tokens)
        plain, rate = usage.output_tokens - reasoning, self.output_usd_per_mtok
        return plain * rate + reasoning * _or(self.reasoning_usd_per_mtok, rate)

    def most_usd(self, input_tokens: int, output_tokens: int = 0) -> float:
        """Returns the most that so many tokens cost, whatever part is cached, written or thought.

        >>> Price(10, 30, 1, 12.5, 60).most_usd(1_000, 100)
        0.0185
        """
        return (
            input_tokens * self._most_input + output_tokens * self._most_output
        ) / TOKENS_PER_MTOK

    @property
    def _most_input(self) -> float:
        rate = self.input_usd_per_mtok
        cached, written = self.cached_input_usd_per_mtok, self.cache_write_usd_per_mtok
        return max(rate, _or(cached, rate), _or(written, rate))

    @property
    def _most_output(self) -> float:
        return max(
            self.output_usd_per_mtok, _or(self.reasoning_usd_per_mtok, self.output_usd_per_mtok)
        )

    def affordable_output(self, budget_usd: float, input_tokens: int) -> int:
        """Returns how many output tokens a budget pays for certain once the input is paid."""
        left_usd = budget_usd - self.most_usd(input_tokens)
        if left_usd < 0:
            return 0
        if self._most_output == 0:
            return MANY_TOKENS
        return int(left_usd * TOKENS_PER_MTOK / self._most_output)


def _or(rate: float | None, usual: float) -> float:
    return usual if rate is None else rate


@dataclass(frozen=True, slots=True)
class BodyRules:
    """The form of request that a deployment takes. None: the usual one of its host and protocol.

    limit_field: name of the output limit. omit: fields that are left out, dotted paths.
    parameters: JSON text of an object that is merged into the body; "" for none.
    stream_usage: a stream is asked for its usage. strict_schema: None where the schema allows it.
    max_stops: stop sequences that are sent; the answer is cut at the others here.
    max_temperature: higher ones are sent as this. call_id_length: tool-call ids are exactly so
    many letters and digits.
    alternate_roles: system first, then user and assistant in turn.

    Known of hosts or learned, not configured: renamed: (field, its name there); prompted: formats
    that the system prompt asks for, "schema" or "json" for any JSON as well; key_header: header of
    the key; query: of the URL; reasoned_calls: calls without `reasoning_content` are refused.
    """

    limit_field: str | None = None
    omit: tuple[str, ...] = ()
    parameters: str = ""
    stream_usage: bool | None = None
    strict_schema: bool | None = None
    max_stops: int | None = None
    max_temperature: float | None = None
    call_id_length: int | None = None
    alternate_roles: bool | None = None
    renamed: tuple[tuple[str, str], ...] = ()
    prompted: str = ""
    key_header: str | None = None
    query: str | None = None
    reasoned_calls: bool | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model behind one base URL. provider: its protocol, a name of `PROVIDERS`.

    first_byte_ms, between_bytes_ms: limits of a stream's waits; None for `timeout_ms`, which is
    that of all of them together. max_in_flight: attempts under way at once in a router.
    always_stream: whole answers are asked for as a stream too. rules: those of its config alone.
    prompt_caching: the provider is told which parts to cache. cache_ttl_s: how long it keeps a
    prefix that was read or written; cache_least_tokens: shorter prefixes are not kept.
    """

    name: str
    provider: str
    base_url: str
    model: str
    price: Price
    context_window_tokens: int = 128_000
    max_output_tokens: int = 4_096
    timeout_ms: int = 60_000
    tools: bool = True
    images: bool = False
    json_schema: bool = True
    logprobs: bool = False
    first_byte_ms: int | None = None
    between_bytes_ms: int | None = None
    max_in_flight: int = 192
    always_stream: bool = False
    rules: BodyRules = BodyRules()
    prompt_caching: bool = False
    cache_ttl_s: int = 300
    cache_least_tokens: int = 1_024


@dataclass(frozen=True, slots=True)
class Arm:
    """Deployments in the order they are tried.

    prior_cost_usd: list price of the first times typical tokens, before anything is learned.
    """

    name: str
    deployments: tuple[Deployment, ...]
    prior_cost_usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Arms from the first tried to the last; a gate stands between two rungs.

    prior_cost_usd: list price times typical tokens, before anything is learned.
    gate: what looks at a first rung's answer that passed the certain checks, a name of
    `bandit.gates`. second: the arm it may ask for a second opinion ("" for none). spare: an arm
    alone that need not be chosen among where a plan with a learned gate calls it.
    """

    name: str
    rungs: tuple[str, ...]
    prior_cost_usd: float
    gate: str = RULES
    second: str = ""
    spare: bool = False

    @property
    def arms(self) -> tuple[str, ...]:
        """Every arm that may be called."""
        return (*self.rungs, self.second) if self.second else self.rungs

    @property
    def is_judged(self) -> bool:
        """True where a gate of its own looks at a first answer that passed."""
        return self.gate != RULES


@dataclass(frozen=True, slots=True)
class Catalog:
    """Arms and plans by name. fallback: the arm called when a rung fails, "" for none."""

    arms: Mapping[str, Arm]
    plans: Mapping[str, Plan]
    fallback: str = ""
    by_name: Mapping[str, Deployment] = field(init=False, repr=False, compare=False)
    """Every deployment, in the order of the arms."""

    def __post_init__(self) -> None:
        known = {d.name: d for arm in self.arms.values() for d in arm.deployments}
        object.__setattr__(self, "by_name", known)

    def deployments(self) -> tuple[Deployment, ...]:
        return tuple(self.by_name.values())

    def names(self) -> list[str]:
        return list(self.by_name)

    def model_of(self, deployment: str) -> str:
        """The model behind a deployment; "" for one that is no longer configured."""
        known = self.by_name.get(deployment)
        return known.model if known else ""

    def price_of(self, deployment: str) -> Price | None:
        """None for a deployment that is no longer configured."""
        known = self.by_name.get(deployment)
        return known.price if known else None
