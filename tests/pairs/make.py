"""Pairs of prompts that ask the same, and pairs that do not, from the templates in this folder."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

HERE = Path(__file__).parent
_SLOT = re.compile(r"\{(=?)([^{}]*)\}")
_ESCAPE = re.compile(r"\\(?:u[0-9a-f]{4}|[nt\\])")


@dataclass(frozen=True, slots=True)
class Pair:
    """kind: a language where both ask the same, else how the two differ."""

    kind: str
    one: str
    other: str


def same() -> list[Pair]:
    return [
        Pair(kind, first, wording)
        for kind, templates in _lines("same.txt")
        for first, *wordings in _filled(templates)
        for wording in wordings
    ]


def groups() -> list[list[str]]:
    """Returns all wordings of each thing that is asked in `same`."""
    return [group for _, templates in _lines("same.txt") for group in _filled(templates)]


def different() -> list[Pair]:
    return [
        Pair(kind, one, other)
        for kind, templates in _lines("other.txt")
        for group in _filled(templates)
        for one, other in combinations(_spread(group), 2)
        if one != other
    ]


def _lines(name: str) -> Iterator[tuple[str, list[str]]]:
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, templates = line.split(": ", 1)
            yield kind, templates.split(" | ")


def _filled(templates: list[str]) -> Iterator[list[str]]:
    """Yields the prompts of a line once for each choice of its pieces."""
    pieces = {m.group(): m[2].split("¦") for t in templates for m in _SLOT.finditer(t) if not m[1]}
    for choice in product(*pieces.values()):
        chosen = dict(zip(pieces, choice, strict=True))
        yield [_replaced(template, chosen) for template in templates]


def _replaced(template: str, chosen: dict[str, str]) -> str:
    return _SLOT.sub(lambda m: m.group() if m[1] else chosen[m.group()], template)


def _spread(group: list[str]) -> list[str]:
    """Returns the prompts with each choice of the places where they differ, escapes read."""
    return [_ESCAPE.sub(_sign, prompt) for template in group for prompt in _choices(template)]


def _choices(template: str) -> Iterator[str]:
    places = [m[2].split("¦") for m in _SLOT.finditer(template)]
    for choice in product(*places):
        left = iter(choice)
        yield _SLOT.sub(lambda _, left=left: next(left), template)


def _sign(escape: re.Match[str]) -> str:
    return escape.group().encode("ascii").decode("unicode_escape")
