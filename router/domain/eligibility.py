"""Which plans may be chosen for a request: mask first, choose afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from router.domain.catalog import LEARNED, Arm, Catalog, Deployment, Plan
from router.domain.chat import TOKENS_PER_IMAGE, ChatRequest, Format

USEFUL_OUTPUT_TOKENS = 128


@dataclass(frozen=True, slots=True)
class Constraints:
    """Arms that request and tenant permit. arms: empty for all; pin: "" for none."""

    arms: tuple[str, ...] = ()
    pin: str = ""

    def permit(self, arm: str) -> bool:
        return (not self.pin or arm == self.pin) and (not self.arms or arm in self.arms)


@dataclass(frozen=True, slots=True)
class Requirements:
    """The demands of a request on a deployment, read once: a long text takes time to measure.

    input_tokens: an estimate, for room and rates. most_input_tokens: a bound, for money.
    output_tokens: the most that are wanted, None for as many as the deployment gives.
    input_bytes, last_bytes: of all that is sent, and of the last message; images apart.
    """

    input_tokens: int
    most_input_tokens: int
    output_tokens: int | None = None
    tools: bool = False
    images: bool = False
    json_schema: bool = False
    input_bytes: int = 0
    last_bytes: int = 0
    image_tokens: int = 0

    @staticmethod
    def of(chat: ChatRequest) -> Requirements:
        return Requirements(
            input_tokens=chat.estimated_input_tokens,
            most_input_tokens=chat.most_input_tokens,
            output_tokens=chat.sampling.max_output_tokens,
            tools=bool(chat.tools),
            images=chat.has_images,
            json_schema=chat.response_format.kind is Format.JSON_SCHEMA,
            input_bytes=chat.input_bytes,
            last_bytes=chat.last_bytes,
            image_tokens=TOKENS_PER_IMAGE * chat.images,
        )

    def met_by(self, deployment: Deployment) -> bool:
        """True if the deployment can serve this request at all."""
        room = deployment.context_window_tokens - self.most_output(deployment)
        return (
            self.input_tokens <= room
            and (deployment.tools or not self.tools)
            and (deployment.images or not self.images)
            and (deployment.json_schema or not self.json_schema)
        )

    def most_output(self, deployment: Deployment) -> int:
        """The most tokens this deployment may answer with."""
        most = deployment.max_output_tokens
        return most if self.output_tokens is None else min(self.output_tokens, most)

    def paid_output(self, deployment: Deployment, left_usd: float | None) -> int:
        """The most tokens it may answer with, as far as what is left pays them; None for all."""
        most = self.most_output(deployment)
        if left_usd is None:
            return most
        return min(most, deployment.price.affordable_output(left_usd, self.most_input_tokens))

    def is_paid(self, deployment: Deployment, left_usd: float | None) -> bool:
        """True if the money that is left pays an answer of useful length."""
        useful = min(USEFUL_OUTPUT_TOKENS, self.most_output(deployment))
        return self.paid_output(deployment, left_usd) >= useful


def permitted_arms(catalog: Catalog, needs: Requirements, wishes: Constraints) -> tuple[str, ...]:
    """Arms that the request allows and that have a deployment able to serve it; fallback first."""
    return tuple(
        name
        for name in sorted(catalog.arms, key=lambda name: name != catalog.fallback)
        if wishes.permit(name) and any(map(needs.met_by, catalog.arms[name].deployments))
    )


def permitted_plans(catalog: Catalog, arms: Iterable[str]) -> list[Plan]:
    """Plans all of whose arms are among `arms`, whatever the providers' health."""
    return [p for p in catalog.plans.values() if set(arms).issuperset(p.arms)]


def paid_plans(
    catalog: Catalog,
    arms: Iterable[str],
    plans: Sequence[Plan],
    needs: Requirements,
    limit_usd: float | None,
) -> Sequence[Plan]:
    """Drops plans whose first arm the cost limit does not pay; all of them where it pays no arm.

    Where it pays only an arm that stands in, all plans stay.
    """

    def pays(arm: str) -> bool:
        able = filter(needs.met_by, catalog.arms[arm].deployments)
        return any(needs.is_paid(deployment, limit_usd) for deployment in able)

    if not any(map(pays, arms)):
        return ()
    return [plan for plan in plans if pays(plan.rungs[0])] or plans


def offered(plans: Sequence[Plan]) -> list[Plan]:
    """Drops the spare plans whose arm a plan with a learned gate among them calls.

    Its gate accepts or escalates at once where that is best. Fewer actions that differ more are
    told apart sooner.
    """
    covered = {arm for plan in plans if plan.gate == LEARNED for arm in plan.arms}
    return [plan for plan in plans if not (plan.spare and covered.issuperset(plan.arms))]


def most_cost_usd(arm: Arm, needs: Requirements) -> float:
    """Returns the most an arm can charge: the longest answer of every sibling.

    Siblings are tried after a failure; one that timed out may have written its answer all the same.
    """
    able = [d for d in arm.deployments if needs.met_by(d)]
    return sum(d.price.most_usd(needs.most_input_tokens, needs.most_output(d)) for d in able)
