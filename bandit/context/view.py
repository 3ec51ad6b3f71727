"""A context, checked and laid out once for all heads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from bandit.errors import BadContext, VersionMismatch
from bandit.models.vowpal_wabbit import ContextText
from bandit.settings import ContextShape
from bandit.types import Context, Vector

_ONE: Final = np.ones(1)
_MOST: Final = 100.0


class ContextView:
    """A context. numbers: [membership, projection, features]; x: [1, membership, features]."""

    __slots__ = ("_shape", "_text", "_write", "numbers", "x")

    def __init__(
        self, numbers: Vector, x: Vector, shape: ContextShape, write: Callable[[Vector], str]
    ) -> None:
        self.numbers = numbers
        self.x = x
        self._shape = shape
        self._write = write
        self._text: str | None = None

    @property
    def membership(self) -> Vector:
        return self.numbers[: self._shape.clusters]

    @property
    def projection(self) -> Vector:
        return self.numbers[self._shape.clusters :][: self._shape.axes]

    @property
    def features(self) -> Vector:
        return self.numbers[self._shape.clusters + self._shape.axes :]

    @property
    def text(self) -> str:
        """Write the context for Vowpal Wabbit, once."""
        if self._text is None:
            self._text = self._write(self.numbers)
        return self._text


class ContextViewer:
    """Lays out contexts of one version and shape."""

    def __init__(self, shape: ContextShape, version: str) -> None:
        self.version = version
        self._shape = shape
        self._text = ContextText(shape)

    def view(self, context: Context) -> ContextView:
        """Lay out a context. Raises VersionMismatch or BadContext when it can't be used."""
        return self._laid_out(self.numbers(context))

    def blank(self) -> ContextView:
        """Return a context of zeros, to probe with."""
        return self._laid_out(np.zeros(self._shape.total))

    def numbers(self, context: Context) -> Vector:
        if context.version != self.version:
            raise VersionMismatch(
                f"the context was made by context map {context.version[:40]!r}, this policy "
                f"learns from {self.version!r}; build contexts with that map, or start a new policy"
            )
        shape = self._shape
        given = (context.membership.shape, context.projection.shape, context.features.shape)
        if given != ((shape.clusters,), (shape.axes,), (shape.features,)):
            raise BadContext(
                f"the context has shapes {given}, this policy wants "
                f"{(shape.clusters, shape.axes, shape.features)}; build it with ContextMap.build"
            )
        numbers = np.concatenate([context.membership, context.projection, context.features])
        if not np.abs(numbers).max() <= _MOST:  # put so that NaN is refused as well
            raise BadContext(
                "the context holds a non-finite or huge number; build it with ContextMap.build"
            )
        return numbers

    def write(self, numbers: Vector) -> str:
        return self._text.write(numbers)

    def _laid_out(self, numbers: Vector) -> ContextView:
        clusters, axes = self._shape.clusters, self._shape.axes
        x = np.concatenate([_ONE, numbers[:clusters], numbers[clusters + axes :]])
        return ContextView(numbers, x, self._shape, self.write)
