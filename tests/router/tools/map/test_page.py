"""The HTML file: whole, self-contained, and safe whatever names hold."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bandit.adaptive.beliefs import Belief
from bandit.frontier import Interval
from bandit.types import Estimate
from router.tools.map.atlas import Atlas, MapRegion, PlanView
from router.tools.map.page import page
from router.tools.map.traffic import PlanTraffic
from tests.router.tools.map.maps import atlas, head, land

VOID = {"meta", "circle", "path"}
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Tree(HTMLParser):
    """Counts elements and finds what is not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.seen if tag == name]


def parsed(made: Atlas) -> Tree:
    tree = Tree(page(made))
    assert tree.open == []
    return tree


def view(name: str, value: float, best: float | None = 0.5) -> PlanView:
    estimate = Estimate(value, value, value, value, value)
    interval = Interval(value, value - 0.1, value + 0.1)
    return PlanView(Belief(name, estimate, interval, interval, best), PlanTraffic(), None)


def region(*plans: PlanView, **more: object) -> MapRegion:
    return MapRegion(0, (), 0.0, 0.0, 0.1, None, 0, plans, plans[0].belief.action, **more)  # type: ignore[arg-type]  # examples only


def made_of(*regions: MapRegion) -> Atlas:
    names = tuple(v.belief.action for v in regions[0].plans) if regions else ()
    return Atlas(head(land()), names, regions, 0)


def test_every_region_links_to_rows_with_all_figures() -> None:
    tree = parsed(atlas(land()))
    links = [a["href"] for a in tree.tags("a")]
    assert sorted(links) == sorted(f"#r{n + 1}" for n in range(32))
    bodies = [a.get("id") for a in tree.tags("tbody")]
    assert {f"#{name}" for name in bodies} == set(links)
    assert len(tree.tags("th")) > 32 * 3
    assert all(a.get("aria-label") for a in tree.tags("a"))
    assert len(page(atlas(land()))) < 150_000


def test_the_page_loads_nothing_and_runs_only_its_script() -> None:
    text = page(atlas(land()))
    assert not re.search(r"https?://|//[a-z]|@import|url\(", text)
    tree = Tree(text)
    (policy,) = [a["content"] for a in tree.tags("meta") if "http-equiv" in a]
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    for tag in ("style", "script"):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert not any(name.startswith("on") or name == "style" for _, a in tree.seen for name in a)


def test_names_with_markup_are_escaped() -> None:
    evil = region(view(EVIL, 0.5), view("b", 0.4), examples=(EVIL,))
    evil = replace(evil, name=(EVIL, EVIL))
    tree = parsed(replace(made_of(evil), notes=(EVIL,)))
    assert len(tree.tags("script")) == 1
    assert tree.tags("img") == []
    assert not any(name.startswith("on") for _, attrs in tree.seen for name in attrs)
    assert any("<script>alert(1)" in word for word in tree.words)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_nan_is_a_dash_and_no_coordinate(number: float) -> None:
    bad = region(view("a", number, number), view("b", 0.4))
    text = page(made_of(replace(bad, best="a"))) + page(made_of(replace(bad, best="b")))
    shown = re.sub(r"<style>.*?</style>", "", text, flags=re.DOTALL)
    assert not re.search(r"\b(?:nan|inf)\b", shown)
    assert "\N{EN DASH}" in text


def test_a_map_without_regions_says_so() -> None:
    tree = parsed(made_of())
    assert any("No region to draw" in word for word in tree.words)


def test_a_map_of_one_region_and_one_plan_is_drawn() -> None:
    tree = parsed(made_of(region(view("only", 0.5))))
    assert len(tree.tags("tbody")) == 1
    assert any("only: expected quality 0.50" in word for word in tree.words)


def test_plans_beyond_the_colours_and_letters_differ() -> None:
    many = made_of(region(*(view(f"plan-{n}", 0.5) for n in range(40))))
    tree = parsed(many)
    keys = re.findall(r'<span class="key p\d">(\w+)</span>', page(many))[:40]
    assert len(set(keys)) == 40
    assert len(tree.tags("tr")) == 1 + 40 + 2


def test_long_and_unprintable_names_are_cut() -> None:
    tree = parsed(made_of(region(view("x" * 500 + "\x00\u202e", 0.5))))
    assert not any("x" * 65 in word for word in tree.words)
    assert not any("\u202e" in word or "\x00" in word for word in tree.words)


def test_why_names_the_rival_and_the_price_of_quality() -> None:
    words = "".join(parsed(atlas(land())).words)
    assert re.search(r"cheap: expected quality 0\.\d\d \[0\.\d\d, [01]\.\d\d\] at \$", words)
    assert re.search(r"Next is (reasoning|cheap): quality [+-]0\.\d{3}, while cost", words)
