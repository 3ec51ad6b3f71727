"""Names of clusters."""

from __future__ import annotations

import math

import pytest

from router.tools.map.cluster_names import names_of


def test_terms_of_all_clusters_name_none() -> None:
    counts = {j: {"question": 50, word: 20} for j, word in enumerate(["poem", "proof", "python"])}
    names = names_of(counts, most=1)
    assert sorted(names.values()) == [("poem",), ("proof",), ("python",)]


def test_names_are_ordered_by_class_based_tf_idf() -> None:
    counts = {"a": {"x": 4, "y": 6}, "b": {"y": 2, "z": 8}}
    average = 10
    x, y = 4 / 10 * math.log(1 + average / 4), 6 / 10 * math.log(1 + average / 8)
    assert x > y * 0.5
    assert names_of(counts)["a"] == (("x", "y") if x > y else ("y", "x"))


def test_no_two_clusters_share_a_name() -> None:
    counts = {0: {"biology": 30, "cell": 10}, 1: {"biology": 20, "species": 15}}
    names = names_of(counts)
    assert names == {0: ("biology", "cell"), 1: ("species",)}


def test_forms_of_one_word_count_once() -> None:
    names = names_of({0: {"fraction": 9, "fractions": 8, "halves": 3}})
    assert names == {0: ("fraction", "halves")}


@pytest.mark.parametrize("counts", [{}, {0: {}}, {0: {"x": 0, "y": -3}, 1: {}}])
def test_a_cluster_without_terms_has_no_name(counts: dict[int, dict[str, int]]) -> None:
    assert names_of(counts) == dict.fromkeys(counts, ())
