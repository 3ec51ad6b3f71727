"""Picks are balanced over clusters, nested, and go on with what was paid for."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from router.tools.calibrate.collect.picks import apportioned, picking_order
from router.tools.calibrate.collect.prompts import Prompt
from tests.router.tools.calibrate.arms import prompts

SIZES = {0: 501, 1: 250, 2: 120, 3: 60, 4: 30, 5: 20, 6: 10, 7: 6, 8: 2, 9: 1}


def test_every_beginning_has_each_cluster_by_its_share_and_once_at_least() -> None:
    picked, total = Counter[int](), sum(SIZES.values())
    for count, cluster in enumerate(apportioned(SIZES), start=1):
        picked[cluster] += 1
        assert len(picked) == min(count, len(SIZES))
        if count < len(SIZES):
            continue
        for each, size in SIZES.items():
            quota = count * size / total
            assert 1 <= picked[each] <= size
            assert picked[each] <= quota + 2
            assert picked[each] >= quota - len(SIZES) * size / total - 2
    assert picked == SIZES


def mixed(count: int) -> tuple[list[Prompt], list[int]]:
    return prompts(count), [(i * i) % 7 for i in range(count)]


def test_more_picks_contain_the_fewer_whatever_was_paid_for_meanwhile() -> None:
    asked, clusters = mixed(200)
    order = picking_order(asked, clusters, (), 0)
    assert sorted(order) == list(range(200))
    for count in (10, 40, 150):
        # A run that was killed paid for some of its picks, in any order.
        paid = set(order[:count][::2])
        again = picking_order(asked, clusters, paid, 0)
        assert set(again[:count]) == set(order[:count])
        assert set(again[: count + 30]) >= set(order[:count])


def test_what_was_paid_for_comes_first_in_its_cluster_after_a_change() -> None:
    asked, clusters = mixed(60)
    first = picking_order(asked, clusters, (), 0)[:20]
    grown, more = mixed(300)
    order = picking_order(grown, more, set(first), 5)
    for cluster in set(more):
        places = [place for place in order if more[place] == cluster]
        paid = sum(place in first for place in places)
        assert set(places[:paid]) <= set(first)


def test_the_order_is_the_same_each_time_and_another_for_another_seed() -> None:
    asked, clusters = mixed(100)
    assert picking_order(asked, clusters, (), 3) == picking_order(asked, clusters, (), 3)
    assert picking_order(asked, clusters, (), 3) != picking_order(asked, clusters, (), 4)


@pytest.mark.parametrize("count", [1, 5, 60])
def test_the_order_of_the_file_does_not_matter(count: int) -> None:
    asked, clusters = mixed(100)
    picked = [asked[i].chat for i in islice(picking_order(asked, clusters, (), 0), count)]
    backwards = picking_order(asked[::-1], clusters[::-1], (), 0)
    assert [asked[::-1][i].chat for i in islice(backwards, count)] == picked
