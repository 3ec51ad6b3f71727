"""Types of settings with their bounds, which the config's schema reads off the field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from annotated_types import Ge, Gt, Le, Len


class Strict:
    """Lets the schema take no text, truth value or fraction for a whole number."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], dict[str, Any]]
    ) -> dict[str, Any]:
        return {**handler(source), "strict": True}


WHOLE = Strict()
Count: TypeAlias = Annotated[int, WHOLE, Ge(1), Le(2_000_000_000)]
Few: TypeAlias = Annotated[int, WHOLE, Ge(1), Le(1_000)]
Milliseconds: TypeAlias = Annotated[int, WHOLE, Ge(1), Le(600_000)]
Share: TypeAlias = Annotated[float, Ge(0), Le(1)]
Similarity: TypeAlias = Annotated[float, Gt(0.5), Le(1)]
Tenants: TypeAlias = Annotated[tuple[str, ...], Len(0, 1_000)]
