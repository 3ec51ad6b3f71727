"""The operator's service: who serves among the policies, and the tenants."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import structlog
from adaptive_router.v1 import admin_pb2 as pb
from adaptive_router.v1 import admin_pb2_grpc

from router.domain import MS_PER_S
from router.domain.errors import FieldViolation, InvalidRequest, Unauthenticated
from router.domain.events import GainFound, Move, PolicyChanged, PolicyCommand
from router.domain.requests import Administration, EvidenceListing, PolicyListing
from router.domain.tenancy import TenantOperations
from router.domain.tenants import Tenant
from router.rpc import convert_admin

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


@dataclass(frozen=True, slots=True)
class Operators:
    """The use cases of operators, and the key that makes one."""

    policies: Administration
    tenants: TenantOperations
    key: str = field(repr=False)


class AdminServicer(admin_pb2_grpc.AdminServiceServicer):
    """Expects `CallGuard` in front, which lets operators in and turns errors into statuses."""

    def __init__(self, operators: Operators) -> None:
        self._administration = operators.policies
        self._tenants = operators.tenants
        self._log = structlog.get_logger("admin")

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

    async def CreateTenant(  # noqa: N802 - the contract's name
        self, request: pb.CreateTenantRequest, _: Context
    ) -> pb.CreateTenantResponse:
        expiry = convert_admin.read_expiry(request.key_expires_unix_ms)
        change = convert_admin.read_change(request.limits)
        tenant, made = await self._tenants.create(request.name, change, expiry)
        self._log.info("tenant_created", name=tenant.name, key=made.key.id)
        return convert_admin.created(tenant, made)

    async def UpdateTenant(  # noqa: N802 - the contract's name
        self, request: pb.UpdateTenantRequest, _: Context
    ) -> pb.UpdateTenantResponse:
        change = convert_admin.read_change(request.limits)
        changed = await self._tenants.update(request.name, change)
        self._log.info("tenant_updated", name=changed.name)
        return pb.UpdateTenantResponse(tenant=convert_admin.tenant_info(changed))

    async def ListTenants(  # noqa: N802 - the contract's name
        self, _: pb.ListTenantsRequest, __: Context
    ) -> pb.ListTenantsResponse:
        found = await self._tenants.tenants()
        return pb.ListTenantsResponse(tenants=map(convert_admin.tenant_info, found))

    async def GetTenantUsage(  # noqa: N802 - the contract's name
        self, request: pb.GetTenantUsageRequest, _: Context
    ) -> pb.GetTenantUsageResponse:
        return convert_admin.usage(*await self._tenants.usage(request.name))

    async def DeleteTenant(  # noqa: N802 - the contract's name
        self, request: pb.DeleteTenantRequest, _: Context
    ) -> pb.DeleteTenantResponse:
        done = await self._tenants.delete(request.name)
        self._log.info("tenant_deleted", name=request.name, keys=done.keys)
        return convert_admin.deleted(done)

    async def AddTenantKey(  # noqa: N802 - the contract's name
        self, request: pb.AddTenantKeyRequest, _: Context
    ) -> pb.AddTenantKeyResponse:
        expiry = convert_admin.read_expiry(request.expires_unix_ms)
        made = await self._tenants.add_key(request.name, expiry)
        self._log.info("key_added", name=request.name, key=made.key.id)
        return pb.AddTenantKeyResponse(key=made.text, facts=convert_admin.key_facts(made.key))

    async def ListTenantKeys(  # noqa: N802 - the contract's name
        self, request: pb.ListTenantKeysRequest, _: Context
    ) -> pb.ListTenantKeysResponse:
        found = await self._tenants.keys(request.name)
        return pb.ListTenantKeysResponse(keys=map(convert_admin.key_facts, found))

    async def RevokeTenantKey(  # noqa: N802 - the contract's name
        self, request: pb.RevokeTenantKeyRequest, _: Context
    ) -> pb.RevokeTenantKeyResponse:
        stopped = await self._tenants.revoke_key(request.name, request.key_id)
        self._log.info("key_revoked", name=request.name, key=stopped.id)
        return pb.RevokeTenantKeyResponse(key=convert_admin.key_facts(stopped))


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
