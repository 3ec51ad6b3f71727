"""Between the bandit's values and what is written down of them."""

from __future__ import annotations

import numpy as np

from bandit.types import Action, Context, PromptFacts
from router.domain.catalog import Plan
from router.domain.chat import ChatRequest, Format
from router.domain.records import LoggedContext


def action_of(plan: Plan) -> Action:
    return Action(plan.name, plan.prior_cost_usd)


def facts_of(chat: ChatRequest) -> PromptFacts:
    return PromptFacts(
        text=chat.prompt,
        turns=max(1, chat.turns),
        tools=len(chat.tools),
        wants_json=chat.response_format.kind is not Format.TEXT,
    )


def log_context(context: Context) -> LoggedContext:
    return LoggedContext(
        membership=tuple(context.membership.tolist()),
        projection=tuple(context.projection.tolist()),
        features=tuple(context.features.tolist()),
        version=context.version,
    )


def read_context(logged: LoggedContext) -> Context:
    return Context(
        membership=np.asarray(logged.membership),
        projection=np.asarray(logged.projection),
        features=np.asarray(logged.features),
        version=logged.version,
    )
