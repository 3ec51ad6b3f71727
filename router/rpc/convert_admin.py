"""Values of administration to messages of the contract."""

from __future__ import annotations

from adaptive_router.v1 import admin_pb2 as pb

from router.domain.events import GainFound, PolicyChanged
from router.domain.requests import PolicyListing


def listing(found: PolicyListing) -> pb.ListPoliciesResponse:
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
    )


def promoted(position: str, done: PolicyChanged | None) -> pb.PromotePolicyResponse:
    return pb.PromotePolicyResponse(position=position, change=_change(done) if done else None)


def rolled_back(position: str, done: PolicyChanged | None) -> pb.RollbackPolicyResponse:
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
