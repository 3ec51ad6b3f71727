"""A storage that is away for a moment."""

from __future__ import annotations

from typing import Any

import pytest

from router.domain.errors import StorageUnavailable


def miss_first_tries(patch: pytest.MonkeyPatch, store: object, write: str) -> None:
    """Whatever is written, by its first argument, the storage is away at its first try."""
    real, tried = getattr(store, write), set[Any]()

    async def blip(what: object, *rest: object) -> object:
        if what not in tried:
            tried.add(what)
            raise StorageUnavailable("away")
        return await real(what, *rest)

    patch.setattr(store, write, blip)
