"""Whose fault it is that no attempt came to an answer."""

from __future__ import annotations

import logging

import pytest

from router.config import parse_config
from router.config.values import catalog_of
from router.domain import errors as e
from router.domain.records import Attempt, AttemptOutcome
from router.serving.account_faults import AccountFaults, failure_of
from tests.router.serving.conftest import CONFIG, Core, asked

KEY = e.ProviderUnauthorized("x", status=401, code="invalid_api_key")
POOR = e.ProviderOutOfCredit("x", status=402, code="insufficient_quota")
LONG = e.ProviderContextTooLong("x", status=400, code="too_long", parameter="messages")
FLAGGED = e.ProviderContentRefused("x", status=400, code="content_filter")
NO = e.ProviderRefusedRequest("x", status=400)
DOWN = e.ProviderUnavailable("x", status=503)


async def failed(core: Core, **errors: e.ProviderError) -> tuple[e.RouterError, list[str]]:
    """Return what the caller hears where the arms `cheap` and `reasoning` fail so, and the whys."""
    replies = iter(errors.values())

    async def reply() -> None:
        raise next(replies)

    core.provider.reply = reply  # type: ignore[assignment]
    with pytest.raises(e.RouterError) as caught:
        await core.service.complete(asked())
    record = (await core.records())[-1]
    assert sum(a.cost_usd for a in record.attempts) == 0
    return caught.value, [a.why for a in record.attempts]


@pytest.mark.parametrize(
    ("first", "second", "heard"),
    [
        (LONG, LONG, e.ContextTooLong),
        (FLAGGED, FLAGGED, e.ContentRefused),
        (NO, NO, e.RequestRefused),
        (FLAGGED, LONG, e.ContextTooLong),
        (LONG, KEY, e.ContextTooLong),
        (KEY, LONG, e.ContextTooLong),
        (KEY, KEY, e.AccountFault),
        (KEY, POOR, e.AccountFault),
        (LONG, DOWN, e.AllAttemptsFailed),
        (DOWN, KEY, e.AllAttemptsFailed),
        (DOWN, DOWN, e.AllAttemptsFailed),
    ],
)
async def test_what_the_caller_hears_is_whose_fault_it_is(
    core: Core, first: e.ProviderError, second: e.ProviderError, heard: type[e.RouterError]
) -> None:
    error, whys = await failed(core, first=first, second=second)
    assert whys == [first.reason.lower(), second.reason.lower()]
    assert type(error) is heard
    assert error.metadata["decision_id"]
    assert isinstance(error, e.RetryableError) == (heard is e.AllAttemptsFailed)


async def test_the_code_and_the_parameter_go_with_it(core: Core) -> None:
    error, _ = await failed(core, first=DOWN, second=DOWN)
    assert set(error.metadata) == {"decision_id"}
    error, _ = await failed(core, first=LONG, second=LONG)
    assert error.metadata["provider_code"] == "too_long"
    assert error.metadata["provider_parameter"] == "messages"


def test_an_arm_that_is_held_back_is_known_to_have_its_account_at_fault() -> None:
    """Only where all of its deployments have."""
    catalog = catalog_of(parse_config(CONFIG, "test.yaml", {}))
    uncalled = Attempt("cheap", "", "", AttemptOutcome.FAILED, "no_healthy_deployment", 0.0)
    args = [uncalled], [], catalog
    assert isinstance(failure_of(*args, {"small": KEY}, "d"), e.AccountFault)
    assert isinstance(failure_of(*args, {"large": KEY}, "d"), e.AllAttemptsFailed)
    assert isinstance(failure_of(*args, {}, "d"), e.AllAttemptsFailed)


def test_each_change_of_a_fault_is_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    faults = AccountFaults()
    caplog.set_level(logging.INFO)
    for error in (KEY, KEY, POOR, POOR, LONG, POOR, DOWN, POOR):
        faults.note("here", error)
    faults.note("there", KEY)
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert [message.split()[1] for message in warned] == ["here", "here", "here", "there"]
    assert ["provider_out_of_credit" in message for message in warned] == [False, True, True, False]
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    assert len(told) == 9
    assert told[0].endswith(
        "deployment here, provider_unauthorized, status 401, code invalid_api_key"
    )


async def test_a_fault_that_comes_again_after_an_answer_is_warned_of_again(
    core: Core, caplog: pytest.LogCaptureFixture
) -> None:
    answers, served = core.provider.reply, list[str]()
    for _ in range(2):
        error, _ = await failed(core, first=KEY, second=KEY)
        assert isinstance(error, e.AccountFault)
        for name in core.service.deployments:
            await core.storage.health.succeeded(name)
        core.provider.reply = answers
        served.append((await core.service.complete(asked())).record.attempts[-1].deployment)
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len([message for message in warned if f"deployment {served[0]} " in message]) == 2
