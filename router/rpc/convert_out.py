"""Converts values of the domain into messages of the contract."""

from __future__ import annotations

from adaptive_router.v1 import chat_pb2 as chat_pb
from adaptive_router.v1 import router_pb2 as router_pb

from bandit.gates import Step
from router.domain.chat import Answer, FinishReason, TextDelta, ToolCallDelta
from router.domain.records import (
    Attempt,
    AttemptOutcome,
    CacheStatus,
    DecisionRecord,
    FeedbackReceipt,
    Judged,
    StepTaken,
)
from router.domain.requests import Completion, Directive
from router.domain.tenants import QuotaLeft

_FINISH = {
    FinishReason.STOP: chat_pb.FINISH_REASON_STOP,
    FinishReason.LENGTH: chat_pb.FINISH_REASON_LENGTH,
    FinishReason.TOOL_CALLS: chat_pb.FINISH_REASON_TOOL_CALLS,
    FinishReason.CONTENT_FILTER: chat_pb.FINISH_REASON_CONTENT_FILTER,
}
_OUTCOMES = {
    AttemptOutcome.ACCEPTED: router_pb.ATTEMPT_OUTCOME_ACCEPTED,
    AttemptOutcome.ESCALATED: router_pb.ATTEMPT_OUTCOME_ESCALATED,
    AttemptOutcome.FAILED: router_pb.ATTEMPT_OUTCOME_FAILED,
    AttemptOutcome.CANCELLED: router_pb.ATTEMPT_OUTCOME_CANCELLED,
    AttemptOutcome.SECOND_OPINION: router_pb.ATTEMPT_OUTCOME_SECOND_OPINION,
}
_STEPS = {
    Step.ACCEPT: router_pb.STEP_ACCEPT,
    Step.SECOND: router_pb.STEP_SECOND,
    Step.ASK: router_pb.STEP_ASK,
    Step.ESCALATE: router_pb.STEP_ESCALATE,
}
_CACHE = {
    CacheStatus.MISS: router_pb.CACHE_STATUS_MISS,
    CacheStatus.EXACT: router_pb.CACHE_STATUS_EXACT,
    CacheStatus.SEMANTIC: router_pb.CACHE_STATUS_SEMANTIC,
    CacheStatus.BYPASS: router_pb.CACHE_STATUS_BYPASS,
}


def completion(done: Completion) -> router_pb.CompleteResponse:
    return router_pb.CompleteResponse(
        answer=_answer(done.answer), receipt=receipt(done.record, done.quota_left)
    )


def stream_item(item: TextDelta | ToolCallDelta | Completion) -> router_pb.StreamCompleteResponse:
    if isinstance(item, TextDelta):
        return router_pb.StreamCompleteResponse(text_delta=item.text)
    if isinstance(item, Completion):
        return router_pb.StreamCompleteResponse(done=_done(item))
    delta = router_pb.ToolCallDelta(
        index=item.index, id=item.id, name=item.name, arguments=item.arguments
    )
    return router_pb.StreamCompleteResponse(tool_call_delta=delta)


def _done(item: Completion) -> router_pb.StreamCompleteResponse.Done:
    return router_pb.StreamCompleteResponse.Done(
        finish_reason=_FINISH[item.answer.finish_reason],
        input_tokens=item.answer.usage.input_tokens,
        output_tokens=item.answer.usage.output_tokens,
        cached_input_tokens=item.answer.usage.cached_tokens,
        cache_write_tokens=item.answer.usage.written_tokens,
        reasoning_tokens=item.answer.usage.reasoning_tokens,
        receipt=receipt(item.record, item.quota_left),
        opaque=_opaque(item.answer),
    )


def directive(made: Directive) -> router_pb.DecideResponse:
    return router_pb.DecideResponse(receipt=receipt(made.record, made.quota_left), rungs=made.rungs)


def decision(record: DecisionRecord) -> router_pb.GetDecisionResponse:
    response = router_pb.GetDecisionResponse(
        receipt=receipt(record, QuotaLeft()),
        created_unix_ms=record.created_ms,
        settled=record.settled,
        feedback_quality=record.feedback,
        judgement=None if record.judged is None else _judgement(record.judged),
    )
    choice = record.choice
    if choice is not None:
        response.feature_version = choice.context.version
        for name in ("quality", "cost", "latency", "failure"):
            setattr(response.weights, name, getattr(choice.weights, name))
        expected = {plan: values for plan, *values in choice.expected}
        prices = {plan: values for plan, *values in choice.prices}
        for plan, probability in choice.probabilities:
            quality, cost_usd, utility = expected.get(plan, (0.0, 0.0, 0.0))
            prior_usd, input_usd, ahead_usd = prices.get(plan, (0.0, 0.0, 0.0))
            response.plans.add(
                plan=plan,
                probability=probability,
                expected_quality=quality,
                expected_cost_usd=cost_usd,
                expected_utility=utility,
                prior_cost_usd=prior_usd,
                input_usd=input_usd,
                ahead_usd=ahead_usd,
            )
    return response


def credited(done: FeedbackReceipt) -> router_pb.FeedbackResponse:
    return router_pb.FeedbackResponse(
        already_recorded=done.already_recorded, decisions=done.decisions
    )


def receipt(record: DecisionRecord, left: QuotaLeft) -> router_pb.Receipt:
    choice = record.choice
    return router_pb.Receipt(
        decision_id=record.id,
        plan=choice.plan if choice else "",
        arm=record.arm,
        deployment=record.deployment,
        model=record.model,
        propensity=choice.propensity if choice else float(record.locked),
        explored=choice.explored if choice else False,
        policy=choice.policy if choice else "",
        policy_version=choice.policy_version if choice else 0,
        attempts=[_attempt(a) for a in record.attempts],
        cache=_CACHE[record.cache],
        similarity=record.similarity,
        cost_usd=record.cost_usd,
        would_plan=choice.observed.plan if choice and choice.observed else "",
        degraded=record.degraded,
        locked=record.locked,
        turn=_turn(record),
        quota_left=router_pb.QuotaLeft(
            requests=left.requests,
            tokens=left.tokens,
            daily_usd=left.daily_usd,
            monthly_usd=left.monthly_usd,
        ),
    )


def _turn(record: DecisionRecord) -> router_pb.Turn | None:
    turn = record.turn
    if turn is None:
        return None
    return router_pb.Turn(
        number=turn.number,
        warm_tokens=dict(turn.warm).get(record.deployment, 0),
        spent_usd=turn.spent_usd,
        stay_usd=turn.stay_usd,
        turns_ahead=record.choice.turns_ahead if record.choice else 0.0,
    )


def _attempt(attempt: Attempt) -> router_pb.Attempt:
    return router_pb.Attempt(
        arm=attempt.arm,
        deployment=attempt.deployment,
        model=attempt.model,
        outcome=_OUTCOMES[attempt.outcome],
        why=attempt.why,
        latency_ms=attempt.latency_ms,
        input_tokens=attempt.input_tokens,
        output_tokens=attempt.output_tokens,
        cost_usd=attempt.cost_usd,
        agrees=attempt.agrees,
        usage_guessed=attempt.guessed,
        cached_input_tokens=attempt.cached_tokens,
        cache_write_tokens=attempt.written_tokens,
        reasoning_tokens=attempt.reasoning_tokens,
    )


def _judgement(judged: Judged) -> router_pb.Judgement:
    return router_pb.Judgement(
        gate=judged.gate,
        signals_version=judged.version,
        signals=judged.signals,
        second_signals=judged.second_signals,
        agreement=judged.agreement,
        verified=judged.verified,
        steps=map(_step, judged.steps),
        second_usd=judged.second_usd,
        strong_usd=judged.strong_usd,
    )


def _step(taken: StepTaken) -> router_pb.StepTaken:
    return router_pb.StepTaken(
        step=_STEPS[taken.step],
        propensity=taken.propensity,
        probabilities=[
            router_pb.StepProbability(step=_STEPS[step], probability=probability)
            for step, probability in taken.probabilities
        ],
        score=taken.score,
        by=taken.by,
    )


def _answer(answer: Answer) -> chat_pb.Answer:
    return chat_pb.Answer(
        text=answer.text,
        tool_calls=[
            chat_pb.ToolCall(id=c.id, name=c.name, arguments=c.arguments) for c in answer.tool_calls
        ],
        finish_reason=_FINISH[answer.finish_reason],
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        cached_input_tokens=answer.usage.cached_tokens,
        cache_write_tokens=answer.usage.written_tokens,
        reasoning_tokens=answer.usage.reasoning_tokens,
        opaque=_opaque(answer),
    )


def _opaque(answer: Answer) -> list[chat_pb.OpaquePart]:
    return [
        chat_pb.OpaquePart(provider=p.provider, model=p.model, data=p.data) for p in answer.opaque
    ]
