"""Which plans may be chosen for a request: mask first, choose afterwards."""

from __future__ import annotations

from dataclasses import dataclass

from router.core.arms import Arm, Catalogue, Deployment, Plan
from router.core.chat import ChatRequest, Format, Usage


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the request and the tenant permit. arms: empty for all; pin: "" for none."""

    arms: tuple[str, ...] = ()
    pin: str = ""

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


def permitted_arms(catalogue: Catalogue, chat: ChatRequest, wishes: Wishes) -> set[str]:
    """Arms that the request allows and that have a deployment able to serve it."""
    return {
        name
        for name, arm in catalogue.arms.items()
        if wishes.permit(name) and any(capable(d, chat) for d in arm.deployments)
    }


def permitted_plans(catalogue: Catalogue, chat: ChatRequest, wishes: Wishes) -> list[Plan]:
    """Plans all of whose rungs are permitted and capable, whatever the providers' health."""
    usable = permitted_arms(catalogue, chat, wishes)
    return [p for p in catalogue.plans.values() if usable.issuperset(p.rungs)]


def spare_arms(catalogue: Catalogue, chat: ChatRequest, wishes: Wishes) -> tuple[str, ...]:
    """The fallback arm first, then the others that are permitted and capable."""
    names = sorted(catalogue.arms, key=lambda name: name != catalogue.fallback)
    usable = permitted_arms(catalogue, chat, wishes)
    return tuple(name for name in names if name in usable)


def worst_cost_usd(catalogue: Catalogue, chat: ChatRequest, wishes: Wishes) -> float:
    """An upper bound of what a request can charge: every permitted arm answers once, at length."""
    return sum(
        most_cost_usd(catalogue.arms[arm], chat) for arm in permitted_arms(catalogue, chat, wishes)
    )
