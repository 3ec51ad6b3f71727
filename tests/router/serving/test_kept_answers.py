"""Which answers are kept for others, and which of those are served."""

from __future__ import annotations

from dataclasses import replace

import pytest

from router.domain.chat import Answer, ChatRequest, FinishReason, Sampling
from router.domain.records import CacheStatus, FeedbackReport
from router.domain.requests import Completion, RouteRequest, RoutingOptions, WeightOverrides
from router.domain.tenants import Tenant, TenantLimits
from tests.router.serving.conftest import ANSWER, Core, asked

ARMS = """
arms:
  {arm}: {{deployments: [{{name: {deployment}, provider: openai, model: {model},
    base_url: 'http://127.0.0.1:9/v1', price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 1}}}}]}}
  spare: {{deployments: [{{name: other, provider: openai, model: m,
    base_url: 'http://127.0.0.1:9/v1', price: {{input_usd_per_mtok: 9, output_usd_per_mtok: 9}}}}]}}
plans: {{{arm}: [{arm}], spare: [spare]}}
embedding: {{workers: 1}}
"""
ONLY = Tenant("acme", TenantLimits(arms=("cheap",)))


def config(arm: str = "cheap", deployment: str = "small", model: str = "m") -> str:
    return ARMS.format(arm=arm, deployment=deployment, model=model)


@pytest.fixture
def text() -> str:
    return config()


async def complete(core: Core, request: RouteRequest, text: str = "") -> Completion:
    """The answer, once all that comes of it is done. text: the config, if another one serves."""
    service = core.reloaded(text) if text else core.service
    done = await service.complete(request)
    await core.background.drain()
    return done


def limited(chat: ChatRequest, tokens: int) -> ChatRequest:
    return replace(chat, sampling=Sampling(max_output_tokens=tokens))


def cut(core: Core) -> None:
    async def reply() -> Answer:
        return replace(ANSWER, finish_reason=FinishReason.LENGTH)

    core.provider.reply = reply


async def test_it_is_served_by_a_service_that_knows_who_gave_it(core: Core) -> None:
    await complete(core, asked())
    for text in ("", config()):
        assert (await complete(core, asked(), text)).record.cache is CacheStatus.EXACT


@pytest.mark.parametrize(
    "text_", [config(arm="dear"), config(deployment="large"), config(model="another")]
)
async def test_who_gave_it_is_gone_after_a_reload(core: Core, text_: str) -> None:
    await complete(core, asked(tenant=ONLY))
    done = await complete(core, asked(), text_)
    assert done.record.cache is CacheStatus.MISS
    again = await complete(core, asked(), text_)
    assert again.record.cache is CacheStatus.EXACT
    assert again.record.deployment == done.record.deployment
    assert again.record.model == done.record.model


async def test_a_tenant_may_not_use_who_gave_it_any_more(core: Core) -> None:
    await complete(core, asked(tenant=ONLY))
    assert (await complete(core, asked(tenant=ONLY))).record.cache is CacheStatus.EXACT
    other = Tenant("acme", TenantLimits(arms=("spare",)))
    done = await complete(core, asked(tenant=other))
    assert (done.record.cache, done.record.arm) == (CacheStatus.MISS, "spare")


async def test_what_a_cost_limit_cut_is_not_kept(core: Core) -> None:
    cut(core)
    request = asked()
    request = replace(request, chat=limited(request.chat, 4_000))
    cheap = replace(request, options=RoutingOptions(max_cost_usd=0.001))
    assert (await complete(core, cheap)).record.cache is CacheStatus.MISS
    assert (await complete(core, request)).record.cache is CacheStatus.MISS
    assert (await complete(core, request)).record.cache is CacheStatus.EXACT


async def test_other_weights_are_another_request(core: Core) -> None:
    await complete(core, asked())
    weighed = replace(asked(), options=RoutingOptions(weights=WeightOverrides(quality=2.0)))
    assert (await complete(core, weighed)).record.cache is CacheStatus.MISS
    assert (await complete(core, weighed)).record.cache is CacheStatus.EXACT
    assert (await complete(core, asked())).record.cache is CacheStatus.EXACT


async def test_a_router_without_a_cache_reads_no_keys_and_evicts_nothing(core: Core) -> None:
    off = core.reloaded(config() + "cache: {enabled: false}\n")
    await complete(core, asked())
    done = await off.complete(asked())
    places = done.record.cache, done.record.cache_exact, done.record.cache_partition
    assert places == (CacheStatus.BYPASS, "", "")
    assert not await off.feedback(asked().tenant, done.record.id, FeedbackReport(0.0))
    await core.background.drain()
    assert core.degraded("cache") == 0
    assert (await complete(core, asked())).record.cache is CacheStatus.EXACT


async def test_who_finds_an_unfit_answer_leads_and_leaves_no_claim(core: Core) -> None:
    await complete(core, asked(tenant=ONLY))
    await complete(core, asked(), config(model="another"))
    assert not core.held.answers
    assert not await core.storage.client.call("KEYS", f"{core.keys.prefix}answering:*")
