"""Decisions without a call, their outcomes, what was decided and why, and feedback."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from router.domain.errors import FieldViolation, InvalidRequest
from router.domain.records import Choice, DecisionRecord, FeedbackReport, OutcomeReport
from router.domain.tenants import QuotaLeft
from router.doors.reports import check_feedback, check_outcome, checked_id
from router.http.answering import ChatHandler, Desk
from router.http.bodies import decoded
from router.http.exchange import Exchange
from router.http.options import receipt, receipt_headers

CREATED: Final = 201


class OutcomeBody(msgspec.Struct, forbid_unknown_fields=True):
    """See `ReportOutcomeRequest` of the contract."""

    latency_ms: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    failure: str = ""
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class FeedbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """See `FeedbackRequest` of the contract."""

    decision_id: str = ""
    session_id: str = ""
    quality: float | None = None
    accepted: bool | None = None
    correction: bool = False


_decode_outcome = msgspec.json.Decoder(OutcomeBody).decode
_decode_feedback = msgspec.json.Decoder(FeedbackBody).decode


class DecideHandler:
    """Decides, and calls nobody. chats: reads the request, in the form of chat completions."""

    def __init__(self, desk: Desk, chats: ChatHandler) -> None:
        self._desk = desk
        self._chats = chats

    async def __call__(self, call: Exchange, body: bytes) -> None:
        request, _ = await self._chats.request(call, body)
        if request.options.idempotency_key:
            raise InvalidRequest(FieldViolation("idempotency-key", "leave it out: each is new"))
        made = await self._desk.live.service.decide(request)
        call.note(made.record)
        told = receipt(made.record, made.quota_left) | {"rungs": list(made.rungs)}
        await call.reply(CREATED, told, receipt_headers(made.record))


class OutcomeHandler:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, call: Exchange, body: bytes) -> None:
        read = decoded(body, _decode_outcome)
        report = OutcomeReport(
            latency_ms=read.latency_ms,
            input_tokens=read.input_tokens,
            output_tokens=read.output_tokens,
            failure=read.failure,
            cached_tokens=read.cached_input_tokens,
            written_tokens=read.cache_write_tokens,
            reasoning_tokens=read.reasoning_tokens,
        )
        call.told.decision_id = id_ = check_outcome(call.named, report)
        service = self._desk.live.service
        done = await service.report_outcome(call.tenant, id_, report)
        told = {"already_recorded": done.already_recorded, "cost_usd": done.cost_usd}
        await call.reply(200, told, [])


class FeedbackHandler:
    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, call: Exchange, body: bytes) -> None:
        read = decoded(body, _decode_feedback)
        report = FeedbackReport(read.quality, read.accepted, read.correction)
        limits = self._desk.limits
        decision_id = check_feedback(read.decision_id, read.session_id, report, limits)
        service = self._desk.live.service
        if read.session_id:
            done = await service.session_feedback(call.tenant, read.session_id, report)
            told = {"already_recorded": done.already_recorded, "decisions": done.decisions}
        else:
            call.told.decision_id = decision_id
            known = await service.feedback(call.tenant, decision_id, report)
            told = {"already_recorded": known, "decisions": 1}
        await call.reply(200, told, [])


class DecisionHandler:
    """Tells what was decided and why."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, call: Exchange, _: bytes) -> None:
        call.told.decision_id = id_ = checked_id(call.named)
        record = await self._desk.live.service.decision(call.tenant, id_)
        await call.reply(200, _decision(record), receipt_headers(record))


def _decision(record: DecisionRecord) -> dict[str, Any]:
    told = receipt(record, QuotaLeft()) | {
        "created_unix_ms": record.created_ms,
        "settled": record.settled,
        "feedback_quality": record.feedback,
    }
    return told | (_reasons(record.choice) if record.choice else {})


def _reasons(choice: Choice) -> dict[str, Any]:
    expected = {plan: values for plan, *values in choice.expected}
    return {
        "weights": {
            "quality": choice.weights.quality,
            "cost": choice.weights.cost,
            "latency": choice.weights.latency,
            "failure": choice.weights.failure,
        },
        "plans": [
            {"plan": plan, "probability": probability}
            | dict(zip(_EXPECTED, expected.get(plan, ()), strict=False))
            for plan, probability in choice.probabilities
        ],
    }


_EXPECTED: Final = ("expected_quality", "expected_cost_usd", "expected_utility")
