"""A config file, or a file that it names, written anew: put in place without a restart."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import structlog

from router.config import Config, doubts_of, load_config
from router.domain.errors import ConfigInvalid, ConfigProblem, RouterError
from router.ports.observer import Observer
from router.runtime.loops import wait

RELOADED: Final = ("arms", "plans", "renamed", "fallback", "attempts", "gate")
"""Sections that are put in place while requests are served; all others need a restart."""

Stamp = tuple[int, ...]
Digests = tuple[bytes, ...]


def as_read(config: Config) -> Config:
    return config


@dataclass(frozen=True, slots=True)
class Stamps:
    """State of every file that a config is made of.

    file, context_map: change when the file was touched. key_files, ca_file: digests of what they
    hold, so that a Secret mounted anew with the same keys is no change.
    """

    file: Stamp
    context_map: Stamp
    key_files: Digests
    ca_file: Digests

    def changed(self, earlier: Stamps) -> list[str]:
        """Names the files, besides the config's own, that are others than earlier."""
        named = ("context_map", "key_files", "ca_file")
        return [name for name in named if getattr(self, name) != getattr(earlier, name)]


@dataclass(frozen=True, slots=True)
class ConfigSource:
    """The origin of a config. path: followed where it is a link, as in a mounted ConfigMap.

    adapt: what is done to every config that was read. calls: whether providers are called with
    it, so that the files of keys and authorities are followed as well.
    """

    path: Path
    adapt: Callable[[Config], Config] = as_read
    calls: bool = True

    def read(self) -> Config:
        """Keys in the environment are those of the start. Raises ConfigInvalid."""
        return self.adapt(load_config(self.path, os.environ))

    def warn(self, config: Config) -> None:
        """Log what `check-config` doubts, where providers are called with it."""
        log = structlog.get_logger("config")
        with suppress(ConfigInvalid):  # the file has changed meanwhile: its next reading tells
            for doubt in doubts_of(config, self.path, os.environ) if self.calls else ():
                log.warning("config_doubtful", line=doubt.line, key=doubt.key, fix=doubt.fix)

    def stamps(self, config: Config) -> Stamps:
        """Files are followed where they are links, as those of a mounted Secret are."""
        deployments = [d for arm in config.arms.values() for d in arm.deployments]
        keys = (d.api_key_file for d in deployments if self.calls)
        authorities = [config.providers.ca_file] if self.calls else []
        return Stamps(
            _stamp(self.path),
            _stamp(config.policy.context_map),
            _digests(keys),
            _digests(authorities),
        )


def _stamp(path: Path | None) -> Stamp:
    """Changes when the file does; zeros while there is none."""
    try:
        found = path.stat() if path else None
    except OSError:
        found = None
    return (found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns) if found else (0,)


def _digests(paths: Iterable[Path | None]) -> Digests:
    return tuple(_digest(path) for path in paths if path is not None)


def _digest(path: Path) -> bytes:
    """Returns nothing for a file that can't be read."""
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""


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
        stamps = await asyncio.to_thread(self._source.stamps, self._config)
        if stamps == self._stamps:
            return
        try:
            config = await asyncio.to_thread(self._source.read)
            check_reloadable(self._config, config, str(self._source.path))
            # Other files may be named; what is written to them from here on is the next change.
            named = await asyncio.to_thread(self._source.stamps, config)
            changed = stamps.changed(self._stamps)
            if config != self._config:
                changed.insert(0, "file")
            if changed:
                await self._apply(config)
        except RouterError as error:
            self._refuse(error)
            return
        self._stamps, self._last_refusal = replace(named, file=stamps.file), ""
        self._config = config
        if changed:
            self._log.info("config_in_place", changed=changed, arms=sorted(config.arms))
            await asyncio.to_thread(self._source.warn, config)

    def _refuse(self, error: RouterError) -> None:
        self._observer.degraded("config")
        if error.message != self._last_refusal:
            self._last_refusal = error.message
            self._log.error("config_refused", reason=error.reason, fix=error.message)


def check_reloadable(old: Config, new: Config, file: str) -> None:
    """Raises ConfigInvalid, naming every section that only a restart can change."""
    fixed = (name for name in Config.model_fields if name not in RELOADED)
    fix = f"restart to change this, or change it back: in place change only {', '.join(RELOADED)}"
    changed = [name for name in fixed if getattr(old, name) != getattr(new, name)]
    if changed:
        raise ConfigInvalid(*(ConfigProblem(file, 1, name, fix) for name in changed))
