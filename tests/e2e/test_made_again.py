"""A tenant that is made again under a name is given nothing of the earlier one's."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from adaptive_router.v1 import router_pb2

from router.app.tenant_administration import TenantAdministration
from router.config import parse_config
from router.domain.tenancy import LimitsChange
from tests.e2e.conftest import Router, chat
from tests.e2e.http_doors import PATIENCE_S, says
from tests.e2e.wire import Asked, Reply, Wire, on_uvloop, routed

NAME = "acme"
CONFIG = """
arms:
  a: {deployments: [{name: a0, provider: openai, model: m, base_url: 'http://127.0.0.1:9/v1',
      price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}]}
"""
KEYED = {"idempotency_key": "k-1"}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


@dataclass
class Slow(Wire):
    """Answers once it is told to."""

    began: asyncio.Event = field(default_factory=asyncio.Event)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def _write(
        self,
        asked: Asked,
        reply: Reply,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.began.set()
        await self.told.wait()
        await super()._write(asked, reply, reader, writer)


def tenants(router: Router) -> TenantAdministration:
    return TenantAdministration(parse_config(CONFIG, "test.yaml", {}), router.storage)


async def made(router: Router) -> str:
    _, key = await tenants(router).create(NAME, LimitsChange())
    return key.text


async def asked(router: Router, key: str, **routing: str) -> router_pb2.CompleteResponse:
    request = router_pb2.CompleteRequest(
        chat=chat("How many roads?"), routing=router_pb2.RoutingOptions(**routing)
    )
    metadata = (("authorization", f"Bearer {key}"),)
    return await router.stub.Complete(request, metadata=metadata, timeout=PATIENCE_S)


@pytest.mark.parametrize("routing", [{}, KEYED], ids=["cache", "idempotency key"])
@on_uvloop
async def test_an_answer_that_comes_late_is_not_given_to_the_next(
    tmp_path: Path, routing: dict[str, str]
) -> None:
    wire = Slow(says())
    async with routed(tmp_path, {"a": [wire]}, sections="cache: {enabled: true}") as router:
        earlier = await made(router)
        late = asyncio.create_task(asked(router, earlier, **routing))
        async with asyncio.timeout(PATIENCE_S):
            await wire.began.wait()
        await tenants(router).delete(NAME)
        key = await made(router)
        wire.told.set()
        assert (await late).answer.text == "Forty-two."
        again = await asked(router, key, **routing)
        assert (len(wire.asked), again.receipt.cost_usd > 0) == (2, True)
        assert again.receipt.decision_id != (await late).receipt.decision_id
        # It has a cache and keys of its own.
        await asked(router, key, **routing)
        assert len(wire.asked) == 2


@on_uvloop
async def test_each_tenant_of_a_name_has_a_scope_of_its_own(tmp_path: Path) -> None:
    async with routed(tmp_path, {"a": [Wire(says())]}) as router:
        scopes = set()
        for _ in range(3):
            await made(router)
            scopes.add((await router.storage.tenants.show(NAME)).scope)
            assert (await tenants(router).delete(NAME)).keys == 1
        assert len(scopes) == 3
        assert NAME not in scopes
