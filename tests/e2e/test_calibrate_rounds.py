"""`calibrate` with a number of prompts, or with an interval: balanced, nested, paid once."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_calibrate import PRICES, Site, standing

KINDS = (
    "What is {} plus one, in arithmetic?",
    "Explain glacier {} to a curious child.",
    "Translate number {} into French, German and Latin.",
    "Who was {} of the kings of medieval England?",
)
SHARES = (0.7, 0.2, 0.05, 0.05)
FREE = ("--budget-usd", "1")


@pytest.fixture
async def plant(tmp_path: Path, model_dir: Path) -> AsyncIterator[Site]:
    assert model_dir
    async with standing(tmp_path) as made:
        yield made


def fill(site: Site, count: int) -> None:
    """Write so many prompts, of kinds by their shares."""
    kinds = [
        kind for kind, share in zip(KINDS, SHARES, strict=True) for _ in range(round(share * 20))
    ]
    lines = (
        json.dumps({"prompt": kinds[i % 20].format(i), "reference": i + 1}) for i in range(count)
    )
    (site.folder / "prompts.jsonl").write_text("\n".join(lines))


async def found(site: Site, *words: str) -> dict[str, Any]:
    """Returns what `--json` prints; nothing else is on the standard output."""
    out = ("--out", str(site.folder / "snapshot"))
    code, told, err = await site.run(*words, *out, "--json")
    assert code == 0, err
    document: dict[str, Any] = json.loads(told)
    return document


def prompts_paid(site: Site) -> Counter[str]:
    """Returns the kinds of the prompts that every arm was paid for."""
    texts = {text for _, text in site.paid}
    assert all((arm, text) in site.paid for text in texts for arm in PRICES)
    return Counter(text.split()[0] for text in texts)


async def test_more_prompts_contain_the_fewer_and_every_beginning_is_balanced(plant: Site) -> None:
    fill(plant, 100)
    few = await found(plant, *FREE, "--prompts", "20")
    first, kinds = set(plant.paid), prompts_paid(plant)
    assert (few["prompts"], few["complete"], len(first)) == (20, 20, 60)
    assert few["certificate"]["file_prompts"] == 100
    assert set(kinds) == {"What", "Explain", "Translate", "Who"}
    assert 11 <= kinds["What"] <= 15
    more = await found(plant, *FREE, "--prompts", "45")
    assert set(plant.paid) > first
    assert set(plant.paid.values()) == {1}
    assert (more["complete"], len(plant.paid)) == (45, 135)
    assert more["certificate"]["half_width"] < few["certificate"]["half_width"]
    # What was paid for is used, also where fewer are asked for.
    again = await found(plant, *FREE, "--prompts", "10")
    assert (again["complete"], plant.paid.total()) == (45, 135)


@pytest.mark.slow
async def test_an_interval_is_reached_by_a_pilot_and_as_many_as_it_takes(plant: Site) -> None:
    fill(plant, 300)
    reached = await found(plant, *FREE, "--interval", "0.012")
    interval = reached["interval"]
    assert interval["reached"]
    assert interval["half_width"] <= 0.012
    assert 100 < reached["complete"] < 200
    assert set(plant.paid.values()) == {1}
    paid = plant.paid.total()
    again = await found(plant, *FREE, "--interval", "0.012")
    assert (again["interval"], plant.paid.total()) == (interval, paid)


@pytest.mark.slow
async def test_a_killed_run_with_an_interval_goes_on_where_it_stopped(plant: Site) -> None:
    fill(plant, 300)
    words = (*FREE, "--interval", "0.012")
    out = ("--out", str(plant.folder / "snapshot"))
    assert await plant.ended(*words, *out, after=150, number=signal.SIGKILL) == -signal.SIGKILL
    begun = set(plant.paid)
    document = await found(plant, *words)
    assert max(plant.paid.values()) == 1
    assert set(plant.paid) > begun
    assert document["interval"]["reached"]
    assert document["spent_usd"] <= 1


@pytest.mark.slow
async def test_what_is_short_is_told_with_its_amount(plant: Site) -> None:
    """A prompt costs 0.00039 USD on all arms, and about twice as much at most."""
    fill(plant, 120)
    short = await found(plant, "--budget-usd", "0.044", "--interval", "0.012")
    assert 100 <= short["complete"] < 120
    interval = short["interval"]
    assert not interval["reached"]
    assert interval["prompts_needed"] > 120
    assert interval["file_lacks_prompts"] == interval["prompts_needed"] - 120
    assert 0 < interval["budget_lacks_usd"] < interval["cost_usd"] + 0.001
    assert plant.paid_usd <= 0.044
    code, told, err = await plant.run(
        *FREE, "--interval", "0.012", "--out", str(plant.folder / "snapshot")
    )
    assert code == 0, err
    assert "the file is short of " in told
    assert "the budget is short" not in told
    assert set(plant.paid.values()) == {1}


async def test_a_report_says_what_can_not_be_certified(plant: Site) -> None:
    fill(plant, 40)
    report = plant.folder / "report.md"
    code, told, err = await plant.run(
        *FREE, "--out", str(plant.folder / "snapshot"), "--report", str(report)
    )
    assert code == 0, err
    for text in (told, report.read_text()):
        assert "What these prompts certify" in text
        assert "can't be certified with them" in text
        assert "prompts for ±0.01" in text
    assert "always cheap - always reasoning" in told
