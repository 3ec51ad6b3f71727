"""A config file, or the context map it names, written anew: put in place without a restart."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from router.config import Config, load_config
from router.domain.errors import ConfigInvalid, ConfigProblem, RouterError
from router.ports.observer import Observer
from router.runtime.loops import wait

RELOADED: Final = ("arms", "plans", "renamed", "fallback", "attempts", "gate")
"""Sections that are put in place while requests are served; all others need a restart."""

Stamp = tuple[int, int, int]
Stamps = tuple[Stamp, Stamp]


def as_read(config: Config) -> Config:
    return config


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """The origin of a config. path: followed where it is a link, as in a mounted ConfigMap.

    adapt: what is done to every config that was read.
    """

    path: Path
    adapt: Callable[[Config], Config] = as_read

    def read(self) -> Config:
        """Keys in the environment are those of the start. Raises ConfigInvalid."""
        return self.adapt(load_config(self.path, os.environ))

    def stamps(self, config: Config) -> Stamps:
        """Stamps of the file, and of the context map that the config names."""
        return _stamp(self.path), _stamp(config.policy.context_map)


def _stamp(path: Path | None) -> Stamp:
    """Changes when the file does; zeros while there is none."""
    try:
        found = path.stat() if path else None
    except OSError:
        found = None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if found else (0, 0, 0)


class ConfigReloader:
    """apply(config): put it in place, or raise RouterError and leave everything as it was.

    seen: stamps from before the config was put in place: what was written since is noticed.
    """

    def __init__(
        self,
        source: ConfigSource,
        config: Config,
        apply: Callable[[Config], Awaitable[None]],
        observer: Observer,
        seen: Stamps,
    ) -> None:
        self._source = source
        self._config = config
        self._apply = apply
        self._observer = observer
        self._stamps = seen
        self._last_refusal = ""
        self._log = structlog.get_logger("config")

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await wait(stop, self._config.server.reload_ms / 1_000)
            await self.step()

    async def step(self) -> None:
        """A file that can't be used is told of once; what serves goes on, and it is tried again."""
        stamps = self._source.stamps(self._config)
        if stamps == self._stamps:
            return
        try:
            config = await asyncio.to_thread(self._source.read)
            check_reloadable(self._config, config, str(self._source.path))
            if config != self._config or stamps[1] != self._stamps[1]:
                await self._apply(config)
        except RouterError as error:
            self._refuse(error)
            return
        self._stamps, self._last_refusal, self._config = stamps, "", config
        self._log.info("config_in_place", arms=sorted(config.arms))

    def _refuse(self, error: RouterError) -> None:
        self._observer.degraded("config")
        if error.message != self._last_refusal:
            self._last_refusal = error.message
            self._log.error("config_refused", reason=error.reason, fix=error.message)


def check_reloadable(old: Config, new: Config, file: str) -> None:
    """Raises ConfigInvalid, naming every section that only a restart can change."""
    fixed = (name for name in Config.model_fields if name not in RELOADED)
    fix = "restart to change this, or change it back: only arms and plans change in place"
    changed = [name for name in fixed if getattr(old, name) != getattr(new, name)]
    if changed:
        raise ConfigInvalid(*(ConfigProblem(file, 1, name, fix) for name in changed))
