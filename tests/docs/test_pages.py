"""Paths named in the documentation exist, and what is generated from the code is fresh."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from router.config import parse_config
from router.config.values import catalog_of, request_prices_of, units_of
from router.domain.eligibility import Requirements
from router.learning.request_rates import RequestRates
from router.serving.request_prices import PricedRequest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("docs/*.md"), *ROOT.glob("*.md")])
NAMED = re.compile(
    r"`((?:router|bandit|bench|clients|demo|tests|deploy|examples|protos|scripts)/[\w./-]*)[^`]*`"
)


def test_generated_tables_are_fresh() -> None:
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, str(ROOT / "scripts" / "gen_docs"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_paths_exist(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_what_a_long_request_costs_is_what_the_concepts_say() -> None:
    """The example config is the page's own: one row of a table for each length."""
    example = (ROOT / "docs" / "configuration.md").read_text().split("```yaml\n")[1].split("```")[0]
    keys = dict.fromkeys(re.findall(r"\w+_API_KEY", example), "key")
    config = parse_config(example, "router.yaml", keys)
    catalog = catalog_of(config)
    unit_usd, prices = units_of(config, catalog).cost_usd, request_prices_of(config, catalog)
    rows = re.findall(
        r"^\| ([\d,]+)[^|]* \| ([\d.]+) USD \| ([\d.]+) \| ([\d.]+) USD \| ([\d.]+) \|$",
        (ROOT / "docs" / "concepts.md").read_text(),
        re.MULTILINE,
    )
    assert len(rows) == 3
    for row in rows:
        tokens, *told = (float(number.replace(",", "")) for number in row)
        needs = Requirements(0, 0, input_bytes=round(tokens * 3.6))
        listed = prices.of(PricedRequest(needs), RequestRates())
        costs = [
            listed.action(catalog.plans[name]).prior_cost_usd for name in ("cheap", "reasoning")
        ]
        known = [n for usd in costs for n in (usd, 0.1 * usd / unit_usd)]
        assert told == pytest.approx(known, abs=6e-4)
