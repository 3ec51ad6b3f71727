"""Fetching the real files: from a real HTTP server that misbehaves, and from a directory."""

from __future__ import annotations

import fcntl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from router.adapters.embedding import fetch
from router.adapters.embedding.fetch import fetch_model, part_path
from router.adapters.embedding.files import (
    FILES,
    MODEL_DIR_VARIABLE,
    TOKENIZER,
    WEIGHTS,
    is_verified,
)
from router.adapters.embedding.hub import ENDPOINT_VARIABLE
from router.adapters.embedding.hub import Hub as HubClient
from router.domain.errors import ModelCorrupt, ModelUnavailable
from tests.router.adapters.embedding.hub import Hub, flipped

HALF = WEIGHTS.size_bytes // 2


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def is_whole(folder: Path) -> bool:
    """Every file is there, and nothing half-done beside them."""
    names = {path.name for path in folder.iterdir()} - {".lock"}
    return names == {file.name for file in FILES} and all(
        is_verified(folder / file.name, file) for file in FILES
    )


def test_fetching_from_the_hub_shows_progress_on_standard_error(
    hub: Hub, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch_model(target=target, hub=HubClient(hub.url)) == target
    assert is_whole(target)
    shown = capsys.readouterr()
    assert WEIGHTS.name in shown.err
    assert shown.out == ""


def test_fetching_asks_the_hub_of_the_environment_at_the_pinned_revision(
    hub: Hub, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT_VARIABLE, f"{hub.url}/mirror/")
    fetch_model(progress=False, target=target)
    assert is_whole(target)
    revision = "Xenova/bge-small-en-v1.5/resolve/ea104dacec62c0de699686887e3f920caeb4f3e3"
    assert hub.paths == [f"/mirror/{revision}/{file.hub_path}" for file in FILES]


def test_fetching_into_a_whole_target_asks_nobody(hub: Hub, target: Path) -> None:
    for _ in range(2):
        fetch_model(progress=False, target=target, hub=HubClient(hub.url))
    assert len(hub.asked) == len(FILES)


def test_fetching_replaces_a_damaged_file_of_the_target(hub: Hub, damaged_dir: Path) -> None:
    fetch_model(progress=False, target=damaged_dir, hub=HubClient(hub.url))
    assert is_whole(damaged_dir)
    assert [name for name, _ in hub.asked] == [WEIGHTS.name]


def test_a_download_that_broke_off_is_resumed_by_the_next_fetch(hub: Hub, target: Path) -> None:
    hub.breaks_after = HALF
    source = HubClient(hub.url)
    with pytest.raises(ModelUnavailable, match=r"hub: .*broke off"):
        fetch_model(progress=False, target=target, hub=source)
    assert part_path(target, WEIGHTS).stat().st_size <= HALF
    kept = part_path(target, WEIGHTS).stat().st_size
    assert kept > 0
    hub.breaks_after = None
    fetch_model(progress=False, target=target, hub=source)
    assert is_whole(target)
    assert hub.ranges_of(WEIGHTS.name) == [None, f"bytes={kept}-"]


def test_a_server_without_ranges_sends_the_whole_file(
    hub: Hub, target: Path, model_dir: Path
) -> None:
    leave_part(target, (model_dir / WEIGHTS.name).read_bytes()[:HALF])
    hub.heeds_range = False
    fetch_model(progress=False, target=target, hub=HubClient(hub.url))
    assert is_whole(target)
    assert hub.ranges_of(WEIGHTS.name) == [f"bytes={HALF}-"]


def test_a_wrong_part_is_thrown_away_and_the_hub_asked_again(hub: Hub, target: Path) -> None:
    leave_part(target, b"not the model" * 1000)
    fetch_model(progress=False, target=target, hub=HubClient(hub.url))
    assert is_whole(target)
    assert hub.ranges_of(WEIGHTS.name) == ["bytes=13000-", None]


def test_a_wrong_checksum_names_the_file_and_leaves_no_part(hub: Hub, target: Path) -> None:
    hub.contents[TOKENIZER.name] = flipped(hub.contents[TOKENIZER.name])
    with pytest.raises(ModelCorrupt, match=r"hub: tokenizer\.json does not have the pinned"):
        fetch_model(progress=False, target=target, hub=HubClient(hub.url))
    assert {path.name for path in target.iterdir()} == {".lock", WEIGHTS.name}


def test_a_file_larger_than_the_pinned_one_leaves_no_part(hub: Hub, target: Path) -> None:
    hub.contents[TOKENIZER.name] += bytes(50_000_000)
    with pytest.raises(ModelCorrupt, match=r"hub: .*tokenizer\.json is larger"):
        fetch_model(progress=False, target=target, hub=HubClient(hub.url))
    assert {path.name for path in target.iterdir()} == {".lock", WEIGHTS.name}


@pytest.mark.parametrize("status", [401, 404, 500])
def test_a_refusal_of_the_hub_is_told_with_its_status(hub: Hub, target: Path, status: int) -> None:
    hub.status = status
    with pytest.raises(ModelUnavailable, match=f"hub: .*{status}.*{MODEL_DIR_VARIABLE}"):
        fetch_model(progress=False, target=target, hub=HubClient(hub.url))


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:9", "nonsense", "http://[bad"])
def test_an_endpoint_that_is_none_is_told(
    target: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(ModelUnavailable, match=f"hub: .*cannot be reached.*{MODEL_DIR_VARIABLE}"):
        fetch_model(progress=False, target=target, hub=HubClient(endpoint))


def test_a_hub_slower_than_the_limit_is_left(hub: Hub, target: Path) -> None:
    seconds = iter(range(0, 10_000, 100))
    source = HubClient(hub.url, clock=lambda: next(seconds), limit_s=250.0)
    with pytest.raises(ModelUnavailable, match="longer than 250 s"):
        fetch_model(progress=False, target=target, hub=source)
    assert part_path(target, WEIGHTS).stat().st_size > 0


def test_two_fetches_at_the_same_time_download_once(hub: Hub, target: Path) -> None:
    def fetch(_: int) -> Path:
        return fetch_model(progress=False, target=target, hub=HubClient(hub.url))

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(fetch, range(2))) == [target, target]
    assert [name for name, _ in hub.asked] == [file.name for file in FILES]


def test_the_named_directory_is_used_where_it_lies(
    model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(model_dir))
    assert fetch_model(progress=False) == model_dir


def test_the_named_directory_is_copied_to_another_target(
    hub: Hub, target: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(model_dir))
    monkeypatch.setenv(ENDPOINT_VARIABLE, hub.url)
    fetch_model(progress=False, target=target)
    assert is_whole(target)
    assert hub.asked == []


def test_files_that_the_named_directory_lacks_come_from_the_hub(
    hub: Hub, target: Path, damaged_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(damaged_dir))
    monkeypatch.setenv(ENDPOINT_VARIABLE, hub.url)
    fetch_model(progress=False, target=target)
    assert is_whole(target)
    assert hub.asked == [(WEIGHTS.name, None)]


def test_a_named_directory_that_lacks_a_file_is_told_beside_the_hub(
    hub: Hub, target: Path, damaged_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MODEL_DIR_VARIABLE, str(damaged_dir))
    hub.status = 404
    with pytest.raises(ModelUnavailable, match=rf"{damaged_dir} does not hold .*; hub: .*404"):
        fetch_model(progress=False, target=target, hub=HubClient(hub.url))


def test_a_hub_that_sends_less_than_the_file_is_asked_for_the_rest(hub: Hub, target: Path) -> None:
    whole = hub.contents[WEIGHTS.name]
    hub.contents[WEIGHTS.name] = whole[:HALF]
    source = HubClient(hub.url)
    with pytest.raises(ModelUnavailable, match="sent less"):
        fetch_model(progress=False, target=target, hub=source)
    assert part_path(target, WEIGHTS).stat().st_size == HALF
    hub.contents[WEIGHTS.name] = whole
    fetch_model(progress=False, target=target, hub=source)
    assert is_whole(target)


def test_a_fetch_that_waits_too_long_for_another_gives_up(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "LOCK_LIMIT_S", 0.1)
    target.mkdir()
    with (target / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ModelUnavailable, match="another process"):
            fetch_model(progress=False, target=target)


def test_a_target_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelUnavailable, match=r"cannot write to .*choose another"):
        fetch_model(progress=False, target=tmp_path / "file" / "below")


def leave_part(target: Path, content: bytes) -> None:
    target.mkdir()
    part_path(target, WEIGHTS).write_bytes(content)
