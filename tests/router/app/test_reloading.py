"""A config file that is written anew."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import structlog

from router.app.learner import LearnerLoop
from router.app.reloading import ConfigReloader, ConfigSource, check_reloadable
from router.config import Config, parse_config
from router.domain.errors import ConfigInvalid, StorageUnavailable
from router.ports.observer import Observer

ONE = """
arms:
  a: {deployments: [{name: a1, provider: openai, model: m,
      price: {input_usd_per_mtok: 1, output_usd_per_mtok: 1}}]}
"""
TWO = ONE + ONE.splitlines()[2].replace("a: {", "b: {").replace("a1", "b1") + ONE.splitlines()[3]


class Counting(Observer):
    def __init__(self) -> None:
        self.told: list[str] = []

    def degraded(self, what: str) -> None:
        self.told.append(what)


class Site:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "router.yaml"
        self.path.write_text(ONE)
        self.applied: list[list[str]] = []
        self.away = False
        self.observer = Counting()
        config = parse_config(ONE, "router.yaml", {})
        source = ConfigSource(self.path)
        seen = source.stamps(config)
        self.reloading = ConfigReloader(source, config, self.apply, self.observer, seen)

    async def apply(self, config: Config) -> None:
        if self.away:
            raise StorageUnavailable("the storage does not answer")
        self.applied.append(sorted(config.arms))

    def step(self, text: str) -> None:
        """A file of another length has another stamp, however coarse the clock."""
        self.path.write_text(text)
        asyncio.run(self.reloading.step())


def test_reloader_applies_changed_arms(tmp_path: Path) -> None:
    site = Site(tmp_path)
    asyncio.run(site.reloading.step())
    assert site.applied == []
    site.step(TWO)
    asyncio.run(site.reloading.step())
    assert site.applied == [["a", "b"]]
    site.step(ONE)
    assert site.applied == [["a", "b"], ["a"]]
    assert site.observer.told == []


def test_reloader_applies_and_says_nothing_when_only_a_comment_changes(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with structlog.testing.capture_logs() as lines:
        site.step(ONE + "# of no account\n")
        asyncio.run(site.reloading.step())
    assert (site.applied, lines) == ([], [])


def test_doubts_about_a_new_config_are_logged_once(tmp_path: Path) -> None:
    site = Site(tmp_path)
    with structlog.testing.capture_logs() as lines:
        site.step(ONE.replace("usd_per_mtok: 1", "usd_per_mtok: 0.0000001"))
        asyncio.run(site.reloading.step())
    told = [(x["line"], x["key"]) for x in lines if x["event"] == "config_doubtful"]
    place = "arms.a.deployments.0"
    assert told == [
        (3, f"{place}.api_key_env"),
        (4, f"{place}.price.input_usd_per_mtok"),
        (4, f"{place}.price.output_usd_per_mtok"),
    ]


def test_a_file_that_a_new_config_names_is_no_second_change(tmp_path: Path) -> None:
    site, key = Site(tmp_path), tmp_path / "key"
    key.write_text("k-1")
    with structlog.testing.capture_logs() as lines:
        site.step(ONE.replace("model: m", f"model: m, api_key_file: {key}"))
        asyncio.run(site.reloading.step())
        key.write_text("k-2")
        asyncio.run(site.reloading.step())
    assert site.applied == [["a"], ["a"]]
    assert [line["changed"] for line in lines] == [["file"], ["key_files"]]


def test_who_calls_no_provider_looks_at_no_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k-1")
    config = parse_config(ONE.replace("model: m", f"model: m, api_key_file: {key}"), "f", {})
    source = ConfigSource(tmp_path / "router.yaml", calls=False)
    before = source.stamps(config)
    key.write_text("k-2")
    assert source.stamps(config) == before


@pytest.mark.parametrize("text", ["arms: {", ONE + "arsm: {}\n", ONE + "cache: {enabled: false}\n"])
def test_reloader_reports_a_bad_file_once_and_applies_the_mended_one(
    tmp_path: Path, text: str
) -> None:
    site = Site(tmp_path)
    site.step(text)
    assert site.applied == []
    assert site.observer.told == ["config"]
    site.step(TWO)
    assert site.applied == [["a", "b"]]


def test_reloader_applies_nothing_when_the_file_is_gone(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.path.unlink()
    asyncio.run(site.reloading.step())
    assert (site.applied, site.observer.told) == ([], ["config"])


def test_reloader_tries_again_when_the_store_is_away(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.away = True
    site.step(TWO)
    site.away = False
    asyncio.run(site.reloading.step())
    assert site.applied == [["a", "b"]]


def test_check_reloadable_names_every_section_that_needs_a_restart() -> None:
    old = parse_config(ONE, "f", {})
    new = parse_config(ONE + "cache: {enabled: false}\nserver: {drain_ms: 1}\n", "f", {})
    with pytest.raises(ConfigInvalid) as caught:
        check_reloadable(old, new, "f")
    assert [problem.key for problem in caught.value.problems] == ["server", "cache"]


class Loop:
    def __init__(self, log: list[str], name: str) -> None:
        self._log, self._name = log, name

    async def run(self, stop: asyncio.Event) -> None:
        self._log.append(f"{self._name} starts")
        await stop.wait()
        self._log.append(f"{self._name} ends")


def test_learner_loop_ends_one_learner_before_the_next_starts() -> None:
    log: list[str] = []

    async def scene() -> None:
        one, two = parse_config(ONE, "f", {}), parse_config(TWO, "f", {})
        learning = LearnerLoop(lambda config, _: Loop(log, str(len(config.arms))), one)
        stop = asyncio.Event()
        running = asyncio.create_task(learning.run(stop))
        await asyncio.sleep(0)
        await learning.exchange(two)
        for _ in range(3):
            await asyncio.sleep(0)
        stop.set()
        await running

    asyncio.run(scene())
    assert log == ["1 starts", "1 ends", "2 starts", "2 ends"]
