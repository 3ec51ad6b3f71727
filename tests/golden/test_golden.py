"""The service reads what an earlier version stored, and stores nothing by other names.

The data in `data/` is never made anew to let a test pass: `make.py` says when.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from adaptive_router.v1 import router_pb2
from click.testing import CliRunner

from router.cli import main
from tests.golden.make import ARCHIVE, TOLD, new_keys, policies, probes, restored, shown
from tests.golden.shapes import Shape, assert_close, decoded, shape_in, shape_of
from tests.golden.site import Served, Site, site
from tests.golden.traffic import CACHED, ONCE, RETOLD, Key, outcome, request, sent

ADDED = (
    r"ar:epoch string ",
    r"ar:answering:\S+ string ",
    r"ar:wordings:\S+ string ",
    r"ar:answer:\S+ string \.(model|partition|prompt|tenant)",
    r"ar:snapshots hash \*:mark",
    r"ar:reserved-until zset ",
    r"ar:settled:\S+ zset ",
    r"ar:reservation:\S+ hash (at|expected|orphaned)",
    r"ar:usage:\S+ hash (hold_ms|reserved\w*|let_in_\w+)",
    r"ar:key-facts hash \*\..*",
    r"ar:tenant-generations hash \*",
    r".*\.attempts\[\]\.(guessed|heard|usage_guessed)",
    r".*\.(degraded|locked)",
    r".*\.turn(\..*)?",
    r".*\.usage\.(cached_tokens|written_tokens|reasoning_tokens)",
    r".*\.answer\.(cached_input_tokens|cache_write_tokens|reasoning_tokens)",
    r".*\.attempts\[\]\.(cached_tokens|written_tokens|reasoning_tokens|input_usd)",
    r".*\.attempts\[\]\.(cached_input_tokens|cache_write_tokens)",
    r".*\.choice\.(prices(\[\])*|turns_ahead)",
    r".*\.context\.(conversation(\[\])*|application)",
    r".*\.price\.(cached_input_usd_per_mtok|cache_write_usd_per_mtok|reasoning_usd_per_mtok)",
    r".*\.(session_share|replaces_share)",
    r".*\.judged\.strong_input_usd",
    r".*\.evidence(_share)?",
    r"ar:turn:\S+ string .*",
    r"ar:snapshots hash \*:payload\.meta\.rates\..*",
    r"ar:session-decisions:\S+ .*",
    r"ar:snapshots hash \*:payload\.(.*\.)?array quality\.(beside|fresh_beside|fresh_parts)",
)
"""Written beside what the data holds; an older version leaves it alone."""
SHORT_LIVED = (r"ar:reservation:\S+ hash \w+", r"ar:ages:\S+ zset ", r"ar:vectors:\S+ vectorset ")
"""The data holds it of settled requests, of which only the id is kept, and as long as an answer in
the cache."""
ADDED_FIELDS = {
    *("degraded", "guessed", "heard", "usage_guessed"),
    *("turn", "locked", "prices", "turns_ahead", "conversation", "application"),
    *("cached_tokens", "written_tokens", "cached_input_tokens", "cache_write_tokens"),
    *("reasoning_tokens", "prior_cost_usd", "input_usd", "ahead_usd"),
    *("session_share", "replaces_share", "strong_input_usd", "evidence", "evidence_share"),
    *("cached_input_usd_per_mtok", "cache_write_usd_per_mtok", "reasoning_usd_per_mtok"),
}
"""Of records, attempts and receipts, empty in the data; an older version passes over them."""
JOINT_COSTS = {f"array quality.{name}" for name in ("beside", "fresh_beside", "fresh_parts")}
CHANGED = JOINT_COSTS | {"rng", "array quality.vw.model"}
EMPTY = (None, False, 0, "0", "", [])
REPRICED = 0.5
"""The prior of a plan was one number for every request; its input is known of each."""
NEARLY = 0.02
"""Embeddings of an int8 model differ a little between processors, and so do contexts."""


@dataclass(frozen=True, slots=True)
class Kept:
    """The restored store, before anything was done to it and under a router that serves."""

    site: Site
    shape: Shape
    served: Served
    keys: dict[str, Key]


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Kept]:
    assert model_dir.exists()
    with restored(tmp_path_factory.mktemp("kept")) as found:
        shape = shape_of(found.store)
        keys = new_keys(found)
        with found.serving() as served:
            yield Kept(found, shape, served, keys)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory, model_dir: Path) -> Iterator[Site]:
    """A site after the same requests, made by this version."""
    assert model_dir.exists()
    with site(tmp_path_factory.mktemp("fresh"), learns=True) as made, sent(made):
        yield made


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    return json.loads(TOLD.read_text())


def payload(site: Site) -> bytes:
    latest = site.store.get("ar:latest").decode()
    return site.store.hget("ar:snapshots", f"{latest}:payload")


def test_decisions_are_read(kept: Kept, told: dict[str, Any]) -> None:
    found = {name: shown(kept.served, kept.keys, name) for name in told["decisions"]}
    assert without_added(found) == told["decisions"]


def test_policies_and_their_changes_are_read(kept: Kept, told: dict[str, Any]) -> None:
    assert policies(kept.served) == told["policies"]


def test_the_snapshot_decides_as_it_did(kept: Kept, told: dict[str, Any]) -> None:
    found = probes(kept.served, kept.keys)
    for name, probe in told["probes"].items():
        assert found[name]["version"] == probe["version"]
        plans = found[name]["plans"]
        assert plans.keys() == probe["plans"].keys()
        for plan, then in probe["plans"].items():
            cost = pytest.approx(then.pop("expected_cost_usd"), rel=REPRICED)
            assert plans[plan].pop("expected_cost_usd") == cost, (name, plan)
            known = {name: plans[plan][name] for name in then}
            assert known == pytest.approx(then, abs=NEARLY), (name, plan)


def test_tenants_are_read(kept: Kept) -> None:
    shown = kept.site.run("tenant", "show", "acme")
    assert all(text in shown for text in ("5000", "9000000", "50.0"))
    gone = kept.site.run("tenant", "show", "gone")
    assert gone.count("cheap") == 2


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (CACHED, router_pb2.CACHE_STATUS_EXACT),
        (f"Please tell me, {CACHED}", router_pb2.CACHE_STATUS_MISS),
    ],
)
def test_a_cached_answer_is_served(kept: Kept, text: str, status: router_pb2.CacheStatus) -> None:
    """To the same request: what was stored has no canonical form."""
    done = kept.served.router.Complete(request(text), metadata=kept.keys["acme"])
    assert done.receipt.cache == status
    assert done.answer.text.startswith("The answer is 4")


def settled_events(kept: Kept) -> int:
    """Returns how many events there are once what runs beside the answers has written its own."""
    before, count = -1, kept.site.store.xlen("ar:events")
    while count != before:
        time.sleep(0.5)
        before, count = count, kept.site.store.xlen("ar:events")
    return int(count)


def test_an_answer_under_an_idempotency_key_is_given_again(kept: Kept) -> None:
    asked = request(ONCE, idempotency_key="once", no_cache=True, arm="cheap")
    before = settled_events(kept)
    first, second = (
        kept.served.router.Complete(asked, metadata=kept.keys["acme"]) for _ in range(2)
    )
    assert first.receipt.decision_id == second.receipt.decision_id
    assert kept.site.store.xlen("ar:events") == before


def test_a_session_is_gone_on_with(kept: Kept) -> None:
    kept.served.router.Complete(
        request(RETOLD, session_id="s", no_cache=True), metadata=kept.keys["acme"]
    )
    kinds = [fields[b"kind"] for _, fields in kept.site.store.xrange("ar:events")]
    assert kinds.count(b"reasked") == 2


def test_a_decision_takes_its_outcome_and_feedback(kept: Kept, told: dict[str, Any]) -> None:
    key, waiting = kept.keys["acme"], told["waiting"]
    assert not kept.served.router.ReportOutcome(outcome(waiting), metadata=key).already_recorded
    said = router_pb2.FeedbackRequest(decision_id=waiting, quality=0.5)
    assert not kept.served.router.Feedback(said, metadata=key).already_recorded
    after = shown(kept.served, kept.keys, waiting)
    assert (after["settled"], after["feedback_quality"]) == (True, 0.5)


def test_a_decision_is_explained(kept: Kept, told: dict[str, Any]) -> None:
    decision_id = next(iter(told["decisions"]))
    assert told["decisions"][decision_id]["receipt"]["plan"] in kept.site.run(
        "explain", decision_id
    )


def test_the_log_teaches_what_the_snapshot_holds(kept: Kept, tmp_path: Path) -> None:
    """Without `--verify`, which compares bytes: these may be another processor's."""
    kept.site.run("learner", "replay", "--log", ARCHIVE, "--out", tmp_path / "snapshot")
    learned = decoded((tmp_path / "snapshot").read_bytes())
    assert_close(without_changed(learned), without_changed(decoded(payload(kept.site))))


def without_changed(value: Any) -> Any:
    """Leave out what other versions learn in another way.

    Older ones learned no costs beside quality from the first outcome on, and drew at random what
    Vowpal Wabbit learns again: its model and its advice, the last number of an outcome, differ.
    """
    if not isinstance(value, dict):
        return value
    left = {name: v for name, v in value.items() if name not in CHANGED}
    return {name: without_changed(unadvised(name, v)) for name, v in left.items()}


def unadvised(name: str, value: Any) -> Any:
    if name in {"array quality.moment", "array quality.fresh"}:
        return value[:, :-1]
    if name == "array quality.gram":
        width = round((2 * value.shape[1]) ** 0.5 - 0.5)
        return value[:, np.triu_indices(width)[1] < width - 1]
    return value


def test_the_archive_is_whole(kept: Kept, tmp_path: Path) -> None:
    checked = CliRunner().invoke(main, ["log", "verify", str(ARCHIVE)])
    assert checked.exit_code == 0, checked.output
    kept.site.run("log", "export", "--out", tmp_path / "log")
    again, before = (
        [row | {"body": without_added(json.loads(row["body"]))} for row in rows(archive)]
        for archive in (tmp_path / "log", ARCHIVE)
    )
    assert again[: len(before)] == before


def without_added(value: Any) -> Any:
    if isinstance(value, list):
        return [without_added(item) for item in value]
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if v not in EMPTY or k not in ADDED_FIELDS}
        return {name: without_added(item) for name, item in kept.items()}
    return value


def rows(archive: Path) -> list[dict[str, Any]]:
    return [
        row for file in sorted(archive.glob("*.parquet")) for row in pq.read_table(file).to_pylist()
    ]


def test_everything_is_stored_by_the_same_names(kept: Kept, fresh: Site) -> None:
    assert_same(kept.shape, shape_of(fresh.store))


def test_an_archive_has_the_same_names(fresh: Site, tmp_path: Path) -> None:
    fresh.run("log", "export", "--out", tmp_path / "log")
    assert_same(shape_in(contents(ARCHIVE)), shape_in(contents(tmp_path / "log")))


def contents(archive: Path) -> dict[str, Any]:
    bodies = [{row["kind"]: row | {"body": json.loads(row["body"])}} for row in rows(archive)]
    return {"manifest": json.loads((archive / "manifest.json").read_text()), "events": bodies}


def assert_same(before: Shape, after: Shape) -> None:
    gone = _others(before.keys() - after.keys(), SHORT_LIVED)
    assert gone == [], "is not written any more"
    new = _others(after.keys() - before.keys(), ADDED)
    assert new == [], "is new: an older version cannot read it"
    differ = [
        path
        for path in before.keys() & after.keys()
        if before[path] and after[path] and before[path] != after[path]
    ]
    assert [(path, before[path], after[path]) for path in differ] == []


def _others(names: Iterable[str], known: Iterable[str]) -> list[str]:
    return sorted(n for n in names if not any(re.fullmatch(pattern, n) for pattern in known))


def test_a_replay_of_the_log_gives_the_same_bytes(fresh: Site) -> None:
    assert "byte for byte" in fresh.run("learner", "replay", "--verify")
