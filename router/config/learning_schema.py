"""Sections of what is learned from, and of who takes over when it has learned better."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.config.section import Section
from router.config.service_schema import Count


class ReaskSection(Section):
    """When a prompt of a session counts as the one before it, asked again."""

    window_s: Count = 300
    """Time after a turn within which it can be asked again."""
    similarity: Annotated[float, Field(gt=0.5, le=1)] = 0.92
    """Cosine similarity from which two prompts ask the same."""


class LearningSection(Section):
    """The learner, and the weight of what it hears."""

    embedded: bool = True
    """`serve` starts a learner as its child; `no` where learners run apart."""
    join_window_s: Count = 86_400
    """How long a decision waits for feedback; feedback after it is refused."""
    default_quality: Annotated[float, Field(ge=0, le=1)] | None = None
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
    reask: ReaskSection = ReaskSection()
    """Questions asked again within a session."""


class PromotionSection(Section):
    """When a challenger takes over from the policy that serves, and when that is taken back."""

    automatic: bool = False
    """Promote as soon as the evidence is there; `no`: only `policy promote` does."""
    min_events: Annotated[int, Field(ge=30, le=10_000_000, strict=True)] = 1_000
    """Decisions with feedback that an automatic promotion needs."""
    margin: Annotated[float, Field(ge=0, le=10)] = 0.005
    """What the lower bound of a challenger's gain has to exceed."""
    confidence: Annotated[float, Field(ge=0.5, le=0.9999)] = 0.95
    """Confidence of the intervals of all challengers together, at all times."""
    guard: bool = True
    """Take a promotion back when the policy before it is surely better."""
    max_waiting: Annotated[int, Field(ge=100, le=50_000, strict=True)] = 2_000
    """Newest decisions without feedback whose feedback still counts for the challengers."""
