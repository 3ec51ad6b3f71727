"""A YAML file as plain values that remember on which line they stand."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import yaml

Path: TypeAlias = tuple[str | int, ...]

MAX_CHARS = 256_000
MAX_NODES = 20_000
MAX_DEPTH = 32
MERGE = "tag:yaml.org,2002:merge"


@dataclass(slots=True)
class Document:
    """lines: path of a value -> the line (from 1) of its key. mistakes: path -> fix."""

    value: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    mistakes: dict[Path, str] = field(default_factory=dict)

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
    document = Document()
    root = _composed(text)
    document.value = {} if root is None else _Reader(document).read(root, ())
    return document


def _composed(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        fix = f"not valid YAML ({error.problem}): check indentation, quotes and brackets"
        raise Unreadable(line, fix) from None
    except yaml.YAMLError:
        raise Unreadable(1, "not valid YAML: only printable UTF-8 text is allowed") from None
    except RecursionError:
        raise _too_deep(1) from None


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._scalars = yaml.SafeLoader("")
        self._seen = 0

    def read(self, node: yaml.Node, path: Path) -> Any:
        self._seen += 1  # aliases count each time: a file can't unfold into something huge
        if self._seen > MAX_NODES:
            raise Unreadable(_line(node), f"write at most {MAX_NODES} values")
        if len(path) > MAX_DEPTH:
            raise _too_deep(_line(node))
        self._document.lines.setdefault(path, _line(node))
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node)

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise Unreadable(_line(key_node), "write plain text as a key")
            here = (*path, str(key_node.value))
            self._document.lines[here] = _line(key_node)
            if key_node.tag == MERGE:
                fix = "merging is not read: write the keys out, or use an alias for a whole value"
                self._document.mistakes[here] = fix
            elif here[-1] in values:
                self._document.mistakes[here] = "write this key once"
            values[str(key_node.value)] = self.read(value_node, here)
        return values

    def _scalar(self, node: yaml.Node) -> Any:
        try:
            return self._scalars.construct_object(node)
        except (yaml.YAMLError, ValueError):  # a tag of its own, or a date of month 13
            raise Unreadable(_line(node), "write a plain value: quote it if it is text") from None


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _too_deep(line: int) -> Unreadable:
    return Unreadable(line, f"nest at most {MAX_DEPTH} levels")
