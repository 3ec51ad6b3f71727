"""What a query of PromQL names, held against what routers and learners tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import promql_parser as promql

from router.observe.metrics import Metrics

TARGET: Final = frozenset({"namespace", "pod", "job", "instance"})
"""Labels that whoever scrapes adds."""
Samples = Mapping[str, frozenset[str]]
SUFFIXES: Final = {
    "counter": ("_total",),
    "gauge": ("",),
    "summary": ("_sum", "_count"),
    "histogram": ("_sum", "_count", "_bucket"),
}


def families() -> dict[str, frozenset[str]]:
    """Returns the names of the samples of each metric of the router's own."""
    return {name: frozenset(found) for name, found in _own().items()}


def samples() -> Samples:
    """Returns the labels of every sample by its name, those of the process included."""
    process = Metrics()
    own = set(_collectors(process))
    process.watch_process()
    watched = [each for each in _collectors(process) if each not in own]
    told = [sample for each in watched for family in each.collect() for sample in family.samples]
    found = {sample.name: frozenset(sample.labels) for sample in told}
    return found | {name: labels for family in _own().values() for name, labels in family.items()}


def _own() -> dict[str, Samples]:
    return {each._name: _samples_of(each) for each in _collectors(Metrics(most_tenants=1))}  # noqa: SLF001 - the only way to the labels


def _samples_of(metric: Any) -> Samples:
    labels = frozenset(metric._labelnames)  # noqa: SLF001 - see above
    return {
        metric._name + suffix: labels | ({"le"} if suffix == "_bucket" else frozenset())  # noqa: SLF001 - see above
        for suffix in SUFFIXES[metric._type]  # noqa: SLF001 - see above
    }


def _collectors(metrics: Metrics) -> list[Any]:
    return list(metrics.registry._collector_to_names)  # noqa: SLF001 - see above


class Query:
    """One expression, taken apart: the metrics it reads, its labels, and what is wrong with it."""

    def __init__(self, text: str, known: Samples) -> None:
        self._known = known
        self.metrics = set[str]()
        self.matched = set[tuple[str, str]]()
        self.problems: list[str] = []
        self.labels = self._labels(promql.parse(text))

    def _labels(self, node: Any) -> frozenset[str]:
        """Returns the labels that the result may have."""
        read = {
            "VectorSelector": self._selected,
            "MatrixSelector": lambda matrix: self._labels(matrix.vector_selector),
            "AggregateExpr": self._aggregated,
            "BinaryExpr": self._joined,
            "Call": self._called,
            "NumberLiteral": lambda _: frozenset(),
            "StringLiteral": lambda _: frozenset(),
        }
        return read.get(type(node).__name__, lambda other: self._labels(other.expr))(node)

    def _selected(self, node: Any) -> frozenset[str]:
        labels = self._known.get(node.name)
        if labels is None:
            self.problems.append(f"no metric {node.name}")
            return TARGET
        self.metrics.add(node.name)
        for matcher in node.matchers.matchers:
            self._expect({matcher.name}, labels | TARGET, node.name)
            self.matched |= {(matcher.name, value) for value in matcher.value.split("|")}
        return labels | TARGET

    def _aggregated(self, node: Any) -> frozenset[str]:
        below = self._labels(node.expr)
        named = frozenset(node.modifier.labels) if node.modifier else frozenset[str]()
        self._expect(named, below, "an aggregation")
        is_by = node.modifier is None or node.modifier.type == promql.AggModifierType.By
        return named if is_by else below - named

    def _joined(self, node: Any) -> frozenset[str]:
        left, right = self._labels(node.lhs), self._labels(node.rhs)
        matching = node.modifier and node.modifier.matching
        if matching:
            self._expect(frozenset(matching.labels), left & right, "a join")
        extra = frozenset((node.modifier and node.modifier.group_labels) or ())
        self._expect(extra, left | right, "a group")
        return (left or right) | extra

    def _called(self, node: Any) -> frozenset[str]:
        below = frozenset[str]().union(*map(self._labels, node.args))
        name = node.func.name
        if name == "histogram_quantile":
            self._expect({"le"}, below, name)
            below -= {"le"}
        return frozenset() if name == "absent" else below

    def _expect(self, named: set[str] | frozenset[str], there: frozenset[str], where: str) -> None:
        self.problems += [f"no label {label} in {where}" for label in sorted(named - there)]
