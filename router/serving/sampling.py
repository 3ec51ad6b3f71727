"""Notes what the map wants to know of a prompt, off the caller's path; all of it is opt-in."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from annotated_types import Ge, Le

from router.domain.bounds import WHOLE
from router.domain.chat import head_and_tail
from router.domain.records import Choice
from router.ports.survey import GROUPS, EmbeddingSample, PromptSample, Sighting, Survey
from router.ports.upstream import Embedding
from router.runtime.background import Background

HEAD_CHARS: Final = 120
MOST_AT_ONCE: Final = 64


@dataclass(frozen=True, slots=True)
class PromptSamplerSettings:
    """Samples kept of prompts for `adaptive-router map`; by default none."""

    terms: bool = False
    """Count words per cluster; a word is shown once it came from five different prompts of it."""
    sample_embeddings: Annotated[int, WHOLE, Ge(0), Le(20_000)] = 0
    """Embeddings kept for `map refit`; from an embedding its text can be guessed."""
    sample_prompts: Annotated[int, WHOLE, Ge(0), Le(1_000)] = 0
    """Beginnings of prompts that are kept, and shown on the map."""

    @property
    def wanted(self) -> bool:
        return self.terms or self.sample_embeddings > 0 or self.sample_prompts > 0


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
        if settings.sample_embeddings:
            sample = EmbeddingSample.of(context.version, embedding, context.features)
            await self._survey.keep_embedding(sample, settings.sample_embeddings, self._draw())
        if settings.sample_prompts:
            head = PromptSample(context.version, cluster, _head(prompt))
            await self._survey.keep_prompt(head, settings.sample_prompts, self._draw())


def _group(prompt: str) -> int:
    """Case and spaces make no other prompt."""
    plain = " ".join(prompt.casefold().split()).encode(errors="replace")
    return hashlib.blake2b(plain, digest_size=1).digest()[0] % GROUPS


def _head(prompt: str) -> str:
    line = " ".join(prompt[: 4 * HEAD_CHARS].split())
    return line if len(line) <= HEAD_CHARS else f"{line[: HEAD_CHARS - 3]}..."


MOST_TERMS: Final = 12
MAX_CHARS: Final = 8_192
"""Characters that are read, half from either end."""
_WORD: Final = re.compile(r"(?<![^\W_])[^\W\d_]{3,20}(?![^\W_])")
_COMMON_WORDS: Final = """
the and for with that this you was are from have has had not but what which who how why when where
whose whom can could would should shall will may might must does did done doing your yours mine our
ours all one two its it's their theirs there here please into onto than then them they his her hers
him she out about above below each any some many much more most also only just very such being been
were while during before after over under between through both few other another same own again
don didn doesn isn wasn won couldn wouldn
further once because until upon within without against among let lets give given get make made say
said tell use used using want wants need needs like following
der die das und ist nicht ein eine einen einem einer mit für auf den dem des wie ich sie wir zum zur
les des est une que qui dans pour pas sur vous nous aux avec quelle comment
los las por para del como qué cómo cuál una con
"""
COMMON: Final = frozenset(_COMMON_WORDS.split())


def words(text: str) -> Sequence[str]:
    """Whole words of three to twenty letters, lower case, without common ones; in order.

    >>> words("What is the area of 3 circles in E2E tests?")
    ['area', 'circles', 'tests']
    """
    read = head_and_tail(text, MAX_CHARS)
    return [word for word in _WORD.findall(read.casefold()) if word not in COMMON]


def terms_of(text: str) -> tuple[str, ...]:
    """Returns at most twelve different words, drawn by the whole text alone.

    The first twelve would be what every prompt made from one template begins with; words drawn
    the same way in every prompt would leave some out everywhere.
    """
    found = set(words(text))
    if len(found) <= MOST_TERMS:
        return tuple(sorted(found))
    key = hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()

    def order(word: str) -> bytes:
        return hashlib.blake2b(word.encode(), digest_size=8, key=key).digest()

    return tuple(sorted(found, key=order)[:MOST_TERMS])
