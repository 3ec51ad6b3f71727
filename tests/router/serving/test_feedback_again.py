"""Feedback whose reply was lost is sent again."""

from __future__ import annotations

import pytest

from router.domain.records import CacheStatus, FeedbackReport
from tests.router.serving.conftest import CONFIG, TENANT, Core, asked

BAD = FeedbackReport(quality=0.0)


@pytest.fixture
def text() -> str:
    return CONFIG.replace("cache: {enabled: false}", "cache: {enabled: true}")


async def test_a_bad_answer_leaves_the_cache_when_the_first_reply_was_lost(core: Core) -> None:
    first = await core.service.complete(asked())
    await core.background.drain()
    assert (await core.service.complete(asked())).record.cache is CacheStatus.EXACT
    assert await core.storage.decisions.feedback(TENANT.name, first.record.id, BAD)
    assert await core.service.feedback(TENANT, first.record.id, BAD)
    assert (await core.service.complete(asked())).record.cache is CacheStatus.MISS
