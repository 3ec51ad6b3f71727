"""The utterances of `policy.intent`, embedded before the first request is served."""

from __future__ import annotations

from collections.abc import Mapping

from bandit import Context, ContextMap, PromptFacts
from router.config import Config
from router.ports.ports import Embedder


async def example_contexts(
    config: Config, embedder: Embedder, context_map: ContextMap
) -> Mapping[str, list[Context]]:
    """By plan; empty for every other policy. One after the other: the embedder's queue is bounded.

    Raises RouterError when an utterance cannot be embedded.
    """
    if config.policy.name != "intent":
        return {}
    return {
        plan: [
            context_map.build(await embedder.embed(text), PromptFacts(text)) for text in utterances
        ]
        for plan, utterances in config.policy.intent.examples.items()
    }
