"""`cache purge` against a real Redis that another process may be using."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest
from click.testing import CliRunner, Result

from router.adapters.storage import Storage
from router.app.process import opened_storage
from router.cli import main
from router.config import load_config
from router.domain.chat import ChatRequest, Message, Role, TextPart
from router.domain.records import CachedAnswer, CacheKey
from router.domain.requests import cache_key
from router.domain.tenants import Tenant
from tests.contract.samples import cached

T = TypeVar("T")
SECRET = "What did Ada Lovelace earn in 1843?"
MANY = 120


def run(config: Path, *words: str, said: str | bytes | None = None) -> Result:
    line = ["cache", "purge", *words, "--config", str(config)]
    return CliRunner().invoke(main, line, input=said)


def stored(config: Path, use: Callable[[Storage], Awaitable[T]], *, begun: bool = True) -> T:
    async def run_() -> T:
        async with opened_storage(load_config(config, {}), {}, begun=begun) as storage:
            return await use(storage)

    return asyncio.run(run_())


def asked(text: str, *before: str) -> ChatRequest:
    messages = [Message(Role.SYSTEM, (TextPart(one),)) for one in before]
    return ChatRequest((*messages, Message(Role.USER, (TextPart(text),))))


def entry(key: CacheKey) -> CachedAnswer:
    made = replace(cached(), exact=key.exact, tenant=key.tenant)
    return replace(made, prompt=key.prompt, partition=key.partition)


@pytest.fixture
def keys(config: Path) -> dict[str, CacheKey]:
    """Of what is cached for two tenants, and of an entry as earlier versions wrote it."""
    made = {
        "plain": cache_key("acme", asked(SECRET)),
        "with more before it": cache_key("acme", asked(SECRET, "Be brief.")),
        "another": cache_key("acme", asked("What else?")),
        "another's": cache_key("other", asked(SECRET)),
    }
    old = cache_key("acme", asked(SECRET, "old"))
    vector = np.ones(384, dtype=np.float32) / np.sqrt(384)

    async def fill(storage: Storage) -> None:
        for name in ("acme", "other"):
            await storage.tenants.create(Tenant(name), name)
        for key in made.values():
            await storage.cache.put(key, vector, entry(key), 600)
        bare = replace(cached(), exact=old.exact)
        await storage.cache.put(old, None, bare, 600)

    stored(config, fill, begun=False)
    return made | {"old": old}


def left(config: Path, keys: dict[str, CacheKey]) -> set[str]:
    async def find(storage: Storage) -> set[str]:
        return {name for name, key in keys.items() if await storage.cache.get(key) is not None}

    return stored(config, find)


def test_the_answers_to_a_prompt_are_removed_whatever_came_before_it(
    config: Path, keys: dict[str, CacheKey]
) -> None:
    done = run(config, "--tenant", "acme", "--prompt", SECRET)
    assert (done.exit_code, done.output) == (0, "2 cached answers removed\n")
    assert left(config, keys) == {"another", "another's", "old"}
    again = run(config, "--tenant", "acme", "--prompt", SECRET)
    assert again.output == "0 cached answers removed\n"


def test_what_was_removed_is_found_by_no_similarity(
    config: Path, keys: dict[str, CacheKey]
) -> None:
    run(config, "--tenant", "acme", "--prompt", SECRET)
    vector = np.ones(384, dtype=np.float32) / np.sqrt(384)

    async def similar(storage: Storage) -> object:
        return await storage.cache.similar(keys["plain"], vector, 0.9)

    assert stored(config, similar) is None


@pytest.mark.parametrize("end", ["", "\n", " \r\n"])
def test_a_prompt_comes_from_standard_input(
    config: Path, keys: dict[str, CacheKey], end: str
) -> None:
    done = run(config, "--tenant", "acme", "--prompt-file", "-", said=SECRET + end)
    assert done.output == "2 cached answers removed\n"
    assert left(config, keys) == {"another", "another's", "old"}


def test_all_answers_of_one_tenant_are_removed(config: Path, keys: dict[str, CacheKey]) -> None:
    done = run(config, "--tenant", "acme", "--all")
    assert done.output == "3 cached answers removed\n"
    assert left(config, keys) == {"another's", "old"}


def test_many_are_removed_in_steps(config: Path, keys: dict[str, CacheKey]) -> None:
    async def fill(storage: Storage) -> None:
        for number in range(MANY):
            key = cache_key("acme", asked(f"Number {number}?"))
            await storage.cache.put(key, None, entry(key), 600)

    stored(config, fill)
    done = run(config, "--tenant", "acme", "--all")
    assert done.output == f"{MANY + 3} cached answers removed\n"
    assert left(config, keys) == {"another's", "old"}


@pytest.mark.parametrize(
    "words",
    [[], ["--prompt", SECRET, "--all"], ["--prompt", SECRET, "--prompt-file", "-"]],
)
def test_it_is_told_what_to_remove(
    config: Path, keys: dict[str, CacheKey], words: list[str]
) -> None:
    done = run(config, "--tenant", "acme", *words, said="")
    assert done.exit_code == 2
    assert "give one of --prompt, --prompt-file and --all" in done.output
    assert SECRET not in done.output
    assert left(config, keys) == set(keys)


def test_text_that_is_none_is_refused(config: Path, keys: dict[str, CacheKey]) -> None:
    for words, said in ((["--prompt", "\udcff"], None), (["--prompt-file", "-"], b"\xff")):
        done = run(config, "--tenant", "acme", *words, said=said)
        assert done.exit_code == 2
        assert "write the prompt as UTF-8" in done.output
    assert left(config, keys) == set(keys)


def test_a_tenant_that_is_none_is_named(config: Path, keys: dict[str, CacheKey]) -> None:
    done = run(config, "--tenant", "nobody", "--all")
    assert done.exit_code == 1
    assert "tenant" in done.output
    assert left(config, keys) == set(keys)
