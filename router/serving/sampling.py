"""Notes what the map wants to know of a prompt, off the caller's path; all of it is opt-in."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from router.domain.records import Choice
from router.ports.ports import Embedding
from router.ports.survey import GROUPS, EmbeddingSample, PromptSample, Sighting, Survey
from router.runtime.background import Background
from router.runtime.terms import terms_of

HEAD_CHARS: Final = 120
MOST_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class PromptSamplerSettings:
    """terms: count them. embeddings, prompts: how many are kept, 0 for none."""

    terms: bool = False
    embeddings: int = 0
    prompts: int = 0

    @property
    def wanted(self) -> bool:
        return self.terms or self.embeddings > 0 or self.prompts > 0


class PromptSampler:
    """draw() gives numbers in [0, 1). While many notes are under way the next ones are dropped."""

    def __init__(
        self,
        *,
        survey: Survey,
        background: Background,
        draw: Callable[[], float],
        settings: PromptSamplerSettings,
    ) -> None:
        self._survey = survey
        self._background = background
        self._draw = draw
        self._settings = settings
        self._under_way = 0

    def note(self, prompt: str, choice: Choice | None, embedding: Embedding | None) -> None:
        """Nothing is noted of an answer out of the cache: its prompt chose nothing."""
        if choice is None or embedding is None or not self._settings.wanted:
            return
        if self._under_way >= MOST_AT_ONCE:
            return
        self._under_way += 1
        task = self._background.start(self._note(prompt, choice, embedding))
        task.add_done_callback(self._ended)

    def _ended(self, _: object) -> None:
        self._under_way -= 1

    async def _note(self, prompt: str, choice: Choice, embedding: Embedding) -> None:
        settings, context = self._settings, choice.context
        cluster = max(range(len(context.membership)), key=context.membership.__getitem__)
        if settings.terms and (terms := terms_of(prompt)):
            group = _group(prompt)
            await self._survey.count(Sighting(context.version, cluster, group, terms))
        if settings.embeddings:
            sample = EmbeddingSample.of(context.version, embedding, context.features)
            await self._survey.keep_embedding(sample, settings.embeddings, self._draw())
        if settings.prompts:
            head = PromptSample(context.version, cluster, _head(prompt))
            await self._survey.keep_prompt(head, settings.prompts, self._draw())


def _group(prompt: str) -> int:
    """Case and spaces make no other prompt."""
    plain = " ".join(prompt.casefold().split()).encode(errors="replace")
    return hashlib.blake2b(plain, digest_size=1).digest()[0] % GROUPS


def _head(prompt: str) -> str:
    line = " ".join(prompt[: 4 * HEAD_CHARS].split())
    return line if len(line) <= HEAD_CHARS else f"{line[: HEAD_CHARS - 3]}..."
