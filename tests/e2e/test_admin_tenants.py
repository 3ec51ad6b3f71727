"""Operators make, change and delete tenants and their keys over the wire, as from the shell."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from adaptive_router.v1 import admin_pb2 as pb
from adaptive_router.v1 import admin_pb2_grpc, router_pb2, router_pb2_grpc
from google.rpc import error_details_pb2

from demo.upstream import INSTANT, Upstream, served
from router.app.process import Running
from router.app.server import running_router
from router.config import parse_config
from router.domain.tenants import QuotaLeft, Tenant, TenantUsage, hash_key
from tests.e2e.conftest import ARMS, GOOD, request
from tests.e2e.details import detail, reason
from tests.e2e.wire import on_uvloop

ENV = {"ROUTER_ADMIN_KEY": "only-operators-know"}
NOTHING_USED = TenantUsage(0.0, 0.0, 0.0, QuotaLeft())
OPERATOR = (("authorization", "Bearer only-operators-know"),)


@dataclass(frozen=True, slots=True)
class Operated:
    running: Running
    admin: admin_pb2_grpc.AdminServiceStub
    router: router_pb2_grpc.RouterServiceStub

    async def call(self, name: str, asked: Any) -> Any:
        return await getattr(self.admin, name)(asked, metadata=OPERATOR)

    async def refused(self, name: str, asked: Any) -> grpc.aio.AioRpcError:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(name, asked)
        return caught.value

    async def ask(self, key: str, text: str = "", **routing: object) -> Any:
        bearer = (("authorization", f"Bearer {key}"),)
        asked = request(text or f"Tell me about moss, {time.time_ns()}.", **routing)
        return await self.router.Complete(asked, metadata=bearer)


@asynccontextmanager
async def operated(folder: Path, config: Callable[..., str]) -> AsyncIterator[Operated]:
    async with AsyncExitStack() as stack:
        ports = {
            arm: await stack.enter_async_context(served(Upstream(arm, INSTANT, lambda _: GOOD)))
            for arm in ARMS
        }
        text = config(folder, ports) + "auth: {admin_key_env: ROUTER_ADMIN_KEY}\n"
        running = await stack.enter_async_context(
            running_router(parse_config(text, "test.yaml", ENV), ENV)
        )
        target = f"127.0.0.1:{running.port}"
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(target))
        admin, router = (
            admin_pb2_grpc.AdminServiceStub(channel),
            router_pb2_grpc.RouterServiceStub(channel),
        )
        yield Operated(running, admin, router)


@on_uvloop
async def test_the_life_of_a_tenant(
    tmp_path: Path, config: Callable[..., str], model_dir: Path
) -> None:
    del model_dir
    async with operated(tmp_path, config) as made:
        limits = pb.TenantLimitsChange(
            daily_usd=2.0, requests_per_minute=50, arms=pb.TenantArms(names=["cheap", "cheap"])
        )
        asked: Any = pb.CreateTenantRequest(name="acme", limits=limits)
        first = await made.call("CreateTenant", asked)
        assert first.facts.id == hash_key(first.key)[:12]
        assert (first.facts.last_four, first.facts.expires_unix_ms) == (first.key[-4:], 0)
        assert list(first.tenant.limits.arms) == ["cheap"]
        assert (await made.ask(first.key)).receipt.arm == "cheap"

        change = pb.TenantLimitsChange(monthly_usd=9.0, arms=pb.TenantArms())
        changed = await made.call(
            "UpdateTenant", pb.UpdateTenantRequest(name="acme", limits=change)
        )
        told = changed.tenant.limits
        assert (told.daily_usd, told.monthly_usd, list(told.arms)) == (2.0, 9.0, [])
        unlimited = pb.TenantLimitsChange(daily_usd=0.0)
        asked = pb.UpdateTenantRequest(name="acme", limits=unlimited)
        assert (await made.call("UpdateTenant", asked)).tenant.limits.daily_usd == 0
        listed = (await made.call("ListTenants", pb.ListTenantsRequest())).tenants
        assert [(each.name, each.limits.monthly_usd) for each in listed] == [("acme", 9.0)]

        ends_ms = int((time.time() + 3_600) * 1_000)
        asked = pb.AddTenantKeyRequest(name="acme", expires_unix_ms=ends_ms)
        second = await made.call("AddTenantKey", asked)
        assert second.facts.expires_unix_ms == ends_ms
        await made.ask(second.key)
        keys = (await made.call("ListTenantKeys", pb.ListTenantKeysRequest(name="acme"))).keys
        assert [key.id for key in keys] == [first.facts.id, second.facts.id]
        asked = pb.RevokeTenantKeyRequest(name="acme", key_id=first.facts.id)
        assert (await made.call("RevokeTenantKey", asked)).key.id == first.facts.id
        assert await made.running.storage.tenants.find(hash_key(first.key)) is None

        used = await made.call("GetTenantUsage", pb.GetTenantUsageRequest(name="acme"))
        assert used.requests_daily == used.requests_monthly == 2
        assert used.spent_monthly_usd > 0
        assert used.monthly_usd_left == pytest.approx(9.0 - used.spent_monthly_usd)
        assert not used.HasField("daily_usd_left")
        gone = await made.call("DeleteTenant", pb.DeleteTenantRequest(name="acme"))
        assert (gone.keys, gone.cached_answers) == (1, 2)
        assert gone.remains
        assert not (await made.call("ListTenants", pb.ListTenantsRequest())).tenants
        assert await made.running.storage.tenants.find(hash_key(second.key)) is None
        client, keys_left = made.running.storage.client, made.running.storage.keys
        for key in (keys_left.usage("acme"), keys_left.key_facts, keys_left.key_owners):
            assert await client.call("EXISTS", key) == 0, key


@on_uvloop
async def test_another_tenant_of_the_name_gets_nothing_of_the_earlier_one(
    tmp_path: Path, config: Callable[..., str], model_dir: Path
) -> None:
    """A call that ends after the deletion leaves an answer and costs behind."""
    del model_dir
    made_anew: Any = pb.CreateTenantRequest(name="acme")
    async with operated(tmp_path, config) as made:
        first = await made.call("CreateTenant", made_anew)
        await made.ask(first.key)
        await made.call("DeleteTenant", pb.DeleteTenantRequest(name="acme"))
        late = await made.ask(first.key, "What is moss?")  # its key is trusted for a moment
        assert late.receipt.cache == router_pb2.CACHE_STATUS_MISS
        assert await made.running.storage.quota.usage(Tenant("acme")) != NOTHING_USED
        second = await made.call("CreateTenant", made_anew)
        assert await made.running.storage.quota.usage(Tenant("acme")) == NOTHING_USED
        again = await made.ask(second.key, "What is moss?")
        assert again.receipt.cache == router_pb2.CACHE_STATUS_MISS
        assert (await made.refused("CreateTenant", made_anew)).code().name == "ALREADY_EXISTS"
        known = await made.ask(second.key, "What is moss?")
        assert known.receipt.cache == router_pb2.CACHE_STATUS_EXACT


@on_uvloop
async def test_what_is_wrong_is_named_and_changes_nothing(
    tmp_path: Path, config: Callable[..., str], model_dir: Path
) -> None:
    del model_dir
    async with operated(tmp_path, config) as made:
        await made.call("CreateTenant", pb.CreateTenantRequest(name="acme"))
        wrong = pb.TenantLimitsChange(
            daily_usd=-1.0,
            monthly_usd=float("nan"),
            tokens_per_minute=2**63,
            arms=pb.TenantArms(names=["chep"]),
            observe="nobody",
            degraded="maybe",
            evidence="perhaps",
        )
        for name, asked in (
            ("CreateTenant", pb.CreateTenantRequest(name="new", limits=wrong)),
            ("UpdateTenant", pb.UpdateTenantRequest(name="acme", limits=wrong)),
        ):
            found = detail(await made.refused(name, asked), error_details_pb2.BadRequest())
            assert {v.field.removeprefix("limits.") for v in found.field_violations} == {
                *("daily_usd", "monthly_usd", "tokens_per_minute", "arms", "observe"),
                *("degraded", "evidence"),
            }
        refusals: list[tuple[str, Any, str]] = [
            ("CreateTenant", pb.CreateTenantRequest(name="acme"), "TENANT_EXISTS"),
            ("CreateTenant", pb.CreateTenantRequest(name="A b"), "INVALID_REQUEST"),
            ("CreateTenant", pb.CreateTenantRequest(name=""), "INVALID_REQUEST"),
            (
                "CreateTenant",
                pb.CreateTenantRequest(name="x", key_expires_unix_ms=5),
                "INVALID_REQUEST",
            ),
            ("UpdateTenant", pb.UpdateTenantRequest(name="none"), "TENANT_NOT_FOUND"),
            ("GetTenantUsage", pb.GetTenantUsageRequest(name="none"), "TENANT_NOT_FOUND"),
            ("DeleteTenant", pb.DeleteTenantRequest(name="none"), "TENANT_NOT_FOUND"),
            ("AddTenantKey", pb.AddTenantKeyRequest(name="none"), "TENANT_NOT_FOUND"),
            (
                "AddTenantKey",
                pb.AddTenantKeyRequest(name="acme", expires_unix_ms=-1),
                "INVALID_REQUEST",
            ),
            ("ListTenantKeys", pb.ListTenantKeysRequest(name="none"), "TENANT_NOT_FOUND"),
            (
                "RevokeTenantKey",
                pb.RevokeTenantKeyRequest(name="acme", key_id="f" * 12),
                "KEY_NOT_FOUND",
            ),
            (
                "RevokeTenantKey",
                pb.RevokeTenantKeyRequest(name="acme", key_id="ab"),
                "INVALID_REQUEST",
            ),
        ]
        for name, asked, expected in refusals:
            assert reason(await made.refused(name, asked)) == expected, (name, asked)
        (left,) = (await made.call("ListTenants", pb.ListTenantsRequest())).tenants
        assert left == pb.TenantInfo(name="acme", limits=pb.TenantLimits())


@on_uvloop
async def test_a_tenant_is_no_operator(
    tmp_path: Path, config: Callable[..., str], model_dir: Path
) -> None:
    del model_dir
    async with operated(tmp_path, config) as made:
        first = await made.call("CreateTenant", pb.CreateTenantRequest(name="acme"))
        for method in pb.DESCRIPTOR.services_by_name["AdminService"].methods:
            asked = getattr(pb, method.input_type.name)()
            bearer = (("authorization", f"Bearer {first.key}"),)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await getattr(made.admin, method.name)(asked, metadata=bearer)
            assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED, method.name
