"""Values checked against JSON Schemas, draft 2020-12, in bounded time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

MAX_STEPS = 50_000
MAX_DEPTH = 100
CHARACTERS_A_STEP = 250
_ITEM_BY_ITEM = ("items", "contains", "propertyNames", "additionalProperties")
_IN_DEPTH = ("const", "enum", "dependentRequired")
_CHOICES = ("anyOf", "oneOf")


class SchemaCheck:
    """The check of one answer, whose parts share MAX_STEPS.

    A small schema can take endless steps: a recursive reference that stands twice doubles them at
    each level of the answer. Regular expressions and the unevaluated... keywords are not looked at.
    """

    def __init__(self) -> None:
        self._left = MAX_STEPS
        self._depth = 0

    def matches(self, value: Any, schema: str) -> bool:
        """True if the value fits; False where it goes too deep. schema: JSON text, "" for none."""
        if not schema:
            return True
        token = _running.set(self)
        try:
            self.spend(1 + len(schema) // CHARACTERS_A_STEP)
            _Checker(json.loads(schema)).validate(value)
        except (ValidationError, RecursionError, ArithmeticError, ValueError):
            return False  # numbers such as NaN or 1e999 break the checks themselves
        finally:
            _running.reset(token)
        return True

    def spend(self, steps: int) -> None:
        """Raises ValueError."""
        self._left -= steps
        if self._left < 0:
            raise ValueError("takes too many steps")

    @contextmanager
    def below(self) -> Iterator[None]:
        """One keyword inside another. Raises ValueError.

        At Python's own limit the library can end in a panic, which is no Exception.
        """
        if self._depth >= MAX_DEPTH:
            raise ValueError("goes too deep")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1


_running: ContextVar[SchemaCheck] = ContextVar("_running")


def _counted(keyword: str, check: Callable[..., Any]) -> Callable[..., Iterator[ValidationError]]:
    def counted(
        validator: Any, value: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        running = _running.get()
        running.spend(1 + _steps(keyword, value, instance))
        if keyword in _CHOICES:  # a false one would write the whole instance into an error
            value = [choice for choice in value if choice is not False]
        with running.below():
            for error in check(validator, value, instance, schema) or ():
                running.spend(len(error.message) // CHARACTERS_A_STEP)
                yield error

    return counted


def _steps(keyword: str, value: Any, instance: Any) -> int:
    """Count the steps of the keyword itself at least; what it hands on is counted there."""
    if keyword == "uniqueItems":
        return _nodes(instance)
    if keyword in _IN_DEPTH:
        return _nodes(value)
    many = instance if keyword in _ITEM_BY_ITEM else value
    return len(many) if isinstance(many, dict | list) else 0


def _nodes(value: Any) -> int:
    below = value.values() if isinstance(value, dict) else value
    return 1 + (sum(map(_nodes, below)) if isinstance(value, dict | list) else 0)


def _ignored(*_: Any) -> tuple[()]:
    return ()


def _additional(validator: Any, allowed: Any, instance: Any, schema: Any) -> Any:
    if "patternProperties" in schema:
        return ()
    return Draft202012Validator.VALIDATORS["additionalProperties"](
        validator, allowed, instance, schema
    )


def _unique(validator: Any, wanted: Any, instance: Any, _: Any) -> Iterator[ValidationError]:
    """The library compares each item with each other where it cannot sort them."""
    if wanted and validator.is_type(instance, "array"):
        texts = {json.dumps(_normal(item), sort_keys=True) for item in instance}
        if len(texts) < len(instance):
            yield ValidationError("has items that are equal")


def _normal(value: Any) -> Any:
    """Returns the same JSON for what JSON Schema holds equal: 1 and 1.0."""
    if isinstance(value, dict):
        return {key: _normal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_normal(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _extended(keywords: dict[str, Any]) -> Any:
    """A validator that stays itself below a `$schema`.

    The library would go on with its own validator of the dialect named there.
    """
    kind: Any = extend(Draft202012Validator, keywords)  # type: ignore[no-untyped-call]
    evolve = kind.evolve

    def evolved(self: Any, **changes: Any) -> Any:
        schema = changes.get("schema")
        if schema is False:  # the same, counted
            changes["schema"] = {"not": {}}
        elif isinstance(schema, dict) and "$schema" in schema:
            changes["schema"] = {key: schema[key] for key in schema if key != "$schema"}
        return evolve(self, **changes)

    kind.evolve = evolved
    return kind


# A caller's regular expressions are not run: one that backtracks would stall every request. To
# find what is unevaluated takes the square of the items' number.
_KEYWORDS = Draft202012Validator.VALIDATORS | {
    "pattern": _ignored,
    "patternProperties": _ignored,
    "additionalProperties": _additional,
    "uniqueItems": _unique,
    "unevaluatedItems": _ignored,
    "unevaluatedProperties": _ignored,
}
_Checker = _extended({name: _counted(name, check) for name, check in _KEYWORDS.items()})
