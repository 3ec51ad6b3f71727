"""Between the bandit's values and what is written down of them."""

from __future__ import annotations

from ctypes import c_float
from typing import Final, TypeAlias

import numpy as np

from bandit.types import Action, Context, PromptFacts, Vector
from router.domain.catalog import Plan
from router.domain.chat import ChatRequest, Format
from router.domain.records import LoggedContext

_GREATEST_HALF: Final = 65_504


Priced: TypeAlias = tuple[tuple[str, float, float, float], ...]
"""`Choice.prices`."""


def action_of(plan: Plan, prices: Priced = ()) -> Action:
    """Returns the plan at the prices of a request, as far as they were logged."""
    for name, prior_usd, input_usd, ahead_usd in prices:
        if name == plan.name:
            return Action(name, prior_usd, input_usd, ahead_usd)
    return Action(plan.name, plan.prior_cost_usd)


def price_of(action: Action) -> tuple[str, float, float, float]:
    """Returns what is logged of an action that was priced for a request."""
    ahead_usd = action.input_usd if action.ahead_usd is None else action.ahead_usd
    return action.name, action.prior_cost_usd, action.input_usd, ahead_usd


def facts_of(chat: ChatRequest) -> PromptFacts:
    return PromptFacts(
        text=chat.prompt,
        turns=max(1, chat.turns),
        tools=len(chat.tools),
        wants_json=chat.response_format.kind is not Format.TEXT,
    )


def rounded(numbers: Vector) -> tuple[float, ...]:
    """Returns them to the three digits of a half float, in which they are kept in two bytes each.

    >>> rounded(np.array([0.1, -1.5])), rounded(np.array([70_000.0]))
    ((0.0999755859375, -1.5), (70000.0,))
    """
    if numbers.size and np.abs(numbers).max() > _GREATEST_HALF:
        return tuple(numbers.tolist())
    return tuple(numbers.astype(np.float16).tolist())


def single(number: float) -> float:
    """Returns it to the seven digits of a single float, in which it is kept in four bytes.

    >>> single(0.1)
    0.10000000149011612
    """
    return c_float(number).value


def log_context(context: Context) -> LoggedContext:
    """Returns what is written down of a context, and learned: its numbers are rounded."""
    return LoggedContext(
        membership=rounded(context.membership),
        projection=rounded(context.projection),
        features=rounded(context.features),
        version=context.version,
    )


def read_context(logged: LoggedContext) -> Context:
    return Context(
        membership=np.asarray(logged.membership),
        projection=np.asarray(logged.projection),
        features=np.asarray(logged.features),
        version=logged.version,
    )
