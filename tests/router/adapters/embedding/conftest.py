"""A real model, a damaged one, and a hub on this machine."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.adapters.embedding.bge import BgeModel
from router.adapters.embedding.files import FILES, MODEL_DIR_VARIABLE, TOKENIZER, WEIGHTS
from tests.router.adapters.embedding.hub import Hub, flipped, serving


@pytest.fixture(scope="session")
def model(model_dir: Path) -> BgeModel:
    return BgeModel(model_dir)


@pytest.fixture
def damaged_dir(model_dir: Path, tmp_path: Path) -> Path:
    """Files of the right size; in the middle of the weights one bit is wrong."""
    folder = tmp_path / "damaged"
    folder.mkdir()
    shutil.copy(model_dir / TOKENIZER.name, folder)
    (folder / WEIGHTS.name).write_bytes(flipped((model_dir / WEIGHTS.name).read_bytes()))
    return folder


@pytest.fixture
def hub(model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Holds the real files."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving({file.name: (model_dir / file.name).read_bytes() for file in FILES}) as state:
        yield state


@pytest.fixture(autouse=True)
def _no_named_dir(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test names the directory it needs."""
    monkeypatch.delenv(MODEL_DIR_VARIABLE, raising=False)
