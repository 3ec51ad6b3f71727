"""What a call can cost, and what the journal says of it once it has ended."""

from __future__ import annotations

from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Usage
from router.domain.eligibility import Requirements
from router.domain.errors import ProviderError
from router.serving.attempts import CHARGED
from router.tools.calibrate.collect.ledger import Answered, Failed, Intent


def most_usd(deployment: Deployment, chat: ChatRequest) -> float:
    """The input has a bound, and the output is cut at its limit."""
    needs = Requirements.of(chat)
    usage = Usage(needs.most_input_tokens, needs.most_output(deployment))
    return deployment.price.cost_usd(usage)


def answered(intent: Intent, deployment: Deployment, answer: Answer, latency_ms: float) -> Answered:
    return Answered(
        key=intent.key,
        call=intent.call,
        deployment=deployment.name,
        model=deployment.model,
        text=answer.text,
        finish_reason=answer.finish_reason,
        input_tokens=answer.usage.input_tokens,
        output_tokens=answer.usage.output_tokens,
        cost_usd=deployment.price.cost_usd(answer.usage),
        latency_ms=latency_ms,
        mean_logprob=answer.mean_logprob,
        refusal=answer.refusal,
        most_usd=intent.most_usd if answer.usage.guessed else None,
    )


def failed(
    intent: Intent,
    deployment: Deployment,
    chat: ChatRequest,
    error: ProviderError,
    latency_ms: float = 0.0,
) -> Failed:
    """What was sent was probably charged where no word came; the budget counts what may be."""
    charged = isinstance(error, CHARGED)
    usage = Usage(chat.estimated_input_tokens)
    return Failed(
        key=intent.key,
        call=intent.call,
        deployment=deployment.name,
        why=error.reason.lower(),
        cost_usd=deployment.price.cost_usd(usage) if charged else 0.0,
        most_usd=intent.most_usd if charged else 0.0,
        latency_ms=latency_ms,
        retry_after_ms=error.retry_after_ms,
    )
