"""The operator's service: who serves among the policies."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from adaptive_router.v1 import admin_pb2 as pb
from adaptive_router.v1 import admin_pb2_grpc

from router.domain import MS_PER_S
from router.domain.errors import FieldViolation, InvalidRequest, Unauthenticated
from router.domain.events import GainFound, Move, PolicyChanged, PolicyCommand
from router.domain.requests import Administration, EvidenceListing, PolicyListing
from router.domain.tenants import Tenant

SERVICE: Final = pb.DESCRIPTOR.services_by_name["AdminService"].full_name
OPERATOR: Final = Tenant("#operator")
"""No name that a tenant may have."""
MOST_WAIT_MS: Final = 60_000

Context = grpc.aio.ServicerContext[Any, Any]


def operator(admin_key: str) -> Callable[[str], Awaitable[Tenant]]:
    """Lets in who has this key, and nobody where there is none."""

    async def authenticate(api_key: str) -> Tenant:
        if not admin_key or not hmac.compare_digest(api_key.encode(), admin_key.encode()):
            raise Unauthenticated("send the admin key as metadata `authorization: Bearer KEY`")
        return OPERATOR

    return authenticate


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """Expects `CallGuard` in front, which lets operators in and turns errors into statuses."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    async def ListPolicies(  # noqa: N802 - the contract's name
        self, _: pb.ListPoliciesRequest, __: Context
    ) -> pb.ListPoliciesResponse:
        return _listing(await self._administration.policies())

    async def PromotePolicy(  # noqa: N802 - the contract's name
        self, request: pb.PromotePolicyRequest, _: Context
    ) -> pb.PromotePolicyResponse:
        command = PolicyCommand(Move.PROMOTED, request.name)
        done = await self._administration.command(command, _wait_s(request.wait_ms))
        return _promoted(*done)

    async def RollbackPolicy(  # noqa: N802 - the contract's name
        self, request: pb.RollbackPolicyRequest, _: Context
    ) -> pb.RollbackPolicyResponse:
        command = PolicyCommand(Move.ROLLED_BACK)
        done = await self._administration.command(command, _wait_s(request.wait_ms))
        return _rolled_back(*done)


def _wait_s(wait_ms: int) -> float:
    if wait_ms > MOST_WAIT_MS:
        raise InvalidRequest(FieldViolation("wait_ms", f"at most {MOST_WAIT_MS}"))
    return wait_ms / MS_PER_S


def _listing(found: PolicyListing) -> pb.ListPoliciesResponse:
    gains = {gain.member: _gain(gain) for gain in found.found}
    return pb.ListPoliciesResponse(
        members=[
            pb.PolicyMember(name=name, policy=kind, gain=gains.get(name))
            for name, kind in found.kinds.items()
        ],
        champion=found.champion,
        previous=found.previous,
        snapshot_version=found.version,
        changes=[_change(change) for change in found.changes],
        evidence=_evidence(found.evidence) if found.evidence else None,
    )


def _evidence(found: EvidenceListing) -> pb.Evidence:
    return pb.Evidence(
        prompts=found.prompts,
        gold=found.gold,
        spent_usd=found.spent_usd,
        worth_usd=found.worth_usd,
        spent_today_usd=found.spent_today_usd,
        budget_usd=found.budget_usd,
        outlook=found.outlook,
    )


def _promoted(position: str, done: PolicyChanged | None) -> pb.PromotePolicyResponse:
    return pb.PromotePolicyResponse(position=position, change=_change(done) if done else None)


def _rolled_back(position: str, done: PolicyChanged | None) -> pb.RollbackPolicyResponse:
    return pb.RollbackPolicyResponse(position=position, change=_change(done) if done else None)


def _gain(found: GainFound) -> pb.Gain:
    return pb.Gain(
        mean=found.gain,
        low=found.low,
        high=found.high,
        events=found.events,
        effective=found.effective,
    )


def _change(change: PolicyChanged) -> pb.PolicyChange:
    return pb.PolicyChange(
        cause=change.cause,
        move=change.move,
        by=change.by,
        before=change.before,
        champion=change.champion,
        refused=change.refused,
        at_unix_ms=change.at_ms,
        found=_gain(change.found) if change.found else None,
    )
