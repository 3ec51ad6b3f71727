"""Clusters fitted anew in the background, into the file that routers and learner look at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from bandit.errors import BanditError
from router.config import Config
from router.config.values import refit_of
from router.domain.errors import RouterError
from router.learning.map_refit import TooFewSamples, refit
from router.ports import Clock
from router.ports.observer import Observer
from router.ports.survey import EmbeddingSample, Survey
from router.runtime.files import write_file
from router.runtime.loops import wait

LOOK_S: Final = 60.0
S_PER_H: Final = 3_600.0


@dataclass(frozen=True, slots=True)
class Refitter:
    """Implements `router.runtime.loops.Loop`, beside a learner.

    Whoever writes the file is followed by all: of two learners the one that looks later finds it
    young. clock: seconds since the epoch, as files have them.
    """

    config: Config
    survey: Survey
    observer: Observer
    clock: Clock
    look_s: float = LOOK_S

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await wait(stop, self.look_s)
            if not stop.is_set():
                await self.step()

    async def step(self) -> None:
        """Too few samples are waited for; anything else that fails is told of and tried again."""
        path = self.config.policy.context_map
        if path is None or not self._is_due(path):
            return
        try:
            samples = await self.survey.embeddings()
            version = await asyncio.to_thread(self._fit, path, samples)
        except TooFewSamples:
            return
        except (RouterError, BanditError) as error:
            self.observer.degraded("refit")
            structlog.get_logger("map").error("refit_failed", error=type(error).__name__)
            return
        structlog.get_logger("map").info("refitted", map=version, samples=len(samples))

    def _is_due(self, path: Path) -> bool:
        try:
            written_s = path.stat().st_mtime
        except OSError:
            return True
        return self.clock() - written_s >= self.config.map.refit_every_h * S_PER_H

    def _fit(self, path: Path, samples: Sequence[EmbeddingSample]) -> str:
        made = refit(samples, refit_of(self.config), self.config.policy.seed)
        write_file(path, made.to_bytes())
        return made.map.version
