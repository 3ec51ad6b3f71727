"""The model is looked for in the named directory, then in the cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from router.adapters.embedding import files
from router.adapters.embedding.files import FILES, MODEL_DIR_VARIABLE, TOKENIZER
from router.domain.errors import ModelCorrupt, ModelUnavailable


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert files.cache_dir().is_relative_to(tmp_path)
    return files.cache_dir()


def fill(folder: Path, model_dir: Path) -> Path:
    folder.mkdir(parents=True)
    for file in FILES:
        (folder / file.name).symlink_to(model_dir / file.name)
    return folder


def test_the_named_directory_comes_before_the_cache(
    cache: Path, tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache, model_dir)
    assert files.model_dir() == cache
    named = fill(tmp_path / "named", model_dir)
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(named))
    assert files.model_dir() == named


def test_a_named_directory_that_is_not_whole_is_passed_over(
    cache: Path, tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(cache, model_dir)
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(tmp_path / "nowhere"))
    assert files.model_dir() == cache


@pytest.mark.usefixtures("cache")
def test_no_model_at_all_says_what_to_do() -> None:
    with pytest.raises(ModelUnavailable, match=f"fetch-model.*{MODEL_DIR_VARIABLE}"):
        files.model_dir()


def test_a_file_of_another_size_is_named(cache: Path, model_dir: Path) -> None:
    fill(cache, model_dir)
    (cache / TOKENIZER.name).unlink()
    (cache / TOKENIZER.name).write_bytes(b"{}")
    with pytest.raises(ModelCorrupt, match=r"tokenizer\.json .*delete it"):
        files.model_dir()
