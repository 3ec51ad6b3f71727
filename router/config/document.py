"""A YAML file as plain values that remember on which line they stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]

MAX_CHARS = 1_000_000
MAX_NODES = 50_000


@dataclass(slots=True)
class Document:
    """lines: path of a value -> the line (from 1) of its key. repeated: keys written twice."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    repeated: list[Path] = field(default_factory=list)

    def line(self, path: Path) -> int:
        """The line of the value, or of the nearest thing around it that is written."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class Unreadable(ValueError):
    """Not YAML, or too much of it."""

    def __init__(self, line: int, fix: str) -> None:
        super().__init__(fix)
        self.line = line
        self.fix = fix


def read_document(text: str) -> Document:
    """Raises Unreadable."""
    if len(text) > MAX_CHARS:
        raise Unreadable(1, f"write at most {MAX_CHARS} characters")
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Unreadable(line, f"not valid YAML ({error.problem}): check the indentation") from None
    except yaml.YAMLError:
        raise Unreadable(1, "not valid YAML: only printable UTF-8 text is allowed") from None
    document = Document()
    document.value = _Reader(document).read(root, ()) if root is not None else {}
    return document


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._scalars = yaml.SafeLoader("")
        self._seen = 0

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._seen += 1  # aliases count each time: a file can't unfold into something huge
        if self._seen > MAX_NODES:
            raise Unreadable(node.start_mark.line + 1, f"write at most {MAX_NODES} values")
        self._document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalars.construct_object(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            here = (*path, key)
            if key in values:
                self._document.repeated.append(here)
            self._document.lines[here] = key_node.start_mark.line + 1
            values[key] = self.read(value_node, here)
        return values
