"""Which plans may be chosen for a request: mask first, choose afterwards."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from router.core.arms import Arm, Catalogue, Deployment, Plan
from router.core.chat import ChatRequest, Format, Usage


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the request and the tenant permit. arms: empty for all; pin: "" for none."""

    arms: tuple[str, ...] = ()
    pin: str = ""
    max_cost_usd: float | None = None

    def permit(self, arm: str) -> bool:
        return (not self.pin or arm == self.pin) and (not self.arms or arm in self.arms)


def capable(deployment: Deployment, chat: ChatRequest) -> bool:
    """Whether a deployment can serve this request at all."""
    room = deployment.context_window_tokens - output_tokens(deployment, chat)
    return (
        chat.estimated_input_tokens <= room
        and (deployment.tools or not chat.tools)
        and (deployment.images or not chat.has_images)
        and (deployment.json_schema or chat.response_format.kind is not Format.JSON_SCHEMA)
    )


def output_tokens(deployment: Deployment, chat: ChatRequest) -> int:
    """The most tokens this deployment may answer with."""
    wanted = chat.sampling.max_output_tokens
    most = deployment.max_output_tokens
    return most if wanted is None else min(wanted, most)


def most_cost_usd(arm: Arm, chat: ChatRequest) -> float:
    """What one call of the arm's dearest capable deployment can cost at most."""
    return max((call_cost_usd(d, chat) for d in arm.deployments if capable(d, chat)), default=0.0)


def call_cost_usd(deployment: Deployment, chat: ChatRequest) -> float:
    tokens = Usage(chat.estimated_input_tokens, output_tokens(deployment, chat))
    return deployment.price.cost_usd(tokens)


def eligible_plans(
    catalogue: Catalogue, chat: ChatRequest, wishes: Wishes, healthy: Callable[[str], bool]
) -> list[Plan]:
    """Plans all of whose rungs are permitted, capable and well, and within the cost limit."""

    def usable(name: str) -> bool:
        deployments = catalogue.arms[name].deployments
        return wishes.permit(name) and any(
            capable(d, chat) and healthy(d.name) for d in deployments
        )

    limit = wishes.max_cost_usd
    return [
        plan
        for plan in catalogue.plans.values()
        if all(usable(rung) for rung in plan.rungs)
        and (limit is None or plan.prior_cost_usd <= limit)
    ]


def permitted_plans(catalogue: Catalogue, chat: ChatRequest, wishes: Wishes) -> list[Plan]:
    """The same, whatever the providers' health: none left means the request rules all out."""
    return eligible_plans(catalogue, chat, wishes, lambda _: True)


def worst_cost_usd(
    catalogue: Catalogue, chat: ChatRequest, plans: Iterable[Plan], wishes: Wishes
) -> float:
    """An upper bound of what any of these plans can charge, its failover included."""
    spare = [catalogue.fallback] if catalogue.fallback and wishes.permit(catalogue.fallback) else []
    return max(
        (
            sum(most_cost_usd(catalogue.arms[arm], chat) for arm in {*plan.rungs, *spare})
            for plan in plans
        ),
        default=0.0,
    )
