"""A context, checked and laid out once for all heads."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

import numpy as np

from bandit.errors import BadContext, VersionMismatch
from bandit.models.vowpal_wabbit import ContextText, more_numbers
from bandit.settings import CONVERSATION, ContextShape
from bandit.types import Context, Vector

NO_CONVERSATION: Final = np.zeros(CONVERSATION)
_ONE: Final = np.ones(1)
_MOST: Final = 100.0


class ContextView:
    """A context. numbers: [membership, projection, features]; x: [1, membership, features].

    x goes on with `conversation`, the features of the whole request, unless all of them are 0.
    """

    __slots__ = (
        "_shape",
        "_text",
        "_whole",
        "_wide",
        "_write",
        "application",
        "conversation",
        "numbers",
        "x",
    )

    def __init__(
        self,
        numbers: Vector,
        x: Vector,
        shape: ContextShape,
        write: Callable[[Vector], str],
        *,
        conversation: Vector = NO_CONVERSATION,
        application: int = 0,
    ) -> None:
        self.numbers = numbers
        self.x = x if conversation is NO_CONVERSATION else np.concatenate([x, conversation])
        self.conversation = conversation
        self.application = application
        self._shape = shape
        self._write = write
        self._text: str | None = None
        self._wide: Vector | None = None
        self._whole: Vector | None = None

    def wide(self, weight: float) -> Vector:
        """Return [1, membership, features, conversation, weight * projection on unit axes], once.

        weight: the same for every call.
        """
        if self._wide is None:
            shape = self._shape
            axes = self.projection * _scales(shape.axis_scales, weight)
            x = self.x[: 1 + shape.clusters + shape.features]
            self._wide = np.concatenate([x, self.conversation, axes])
        return self._wide

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
    def whole(self) -> Vector:
        """Return `numbers`, those of the whole request and the application; (total + MORE,)."""
        if self._whole is None:
            more = more_numbers(self.conversation, self.application)
            self._whole = np.concatenate([self.numbers, more])
        return self._whole

    @property
    def text(self) -> str:
        """Write the context for Vowpal Wabbit, once."""
        if self._text is None:
            self._text = self._write(self.whole)
        return self._text


class ContextViewer:
    """Lays out contexts of one version and shape."""

    def __init__(self, shape: ContextShape, version: str) -> None:
        self.version = version
        self._shape = shape
        self._text = ContextText(shape)

    def view(self, context: Context) -> ContextView:
        """Lay out a context. Raises VersionMismatch or BadContext when it can't be used."""
        return self._laid_out(self.numbers(context), _conversation(context), context.application)

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
        # Put so that NaN is refused as well; the squares' sum tells almost always, and sooner.
        if not numbers.dot(numbers) <= _MOST**2 and not np.abs(numbers).max() <= _MOST:
            raise BadContext(
                "the context holds a non-finite or huge number; build it with ContextMap.build"
            )
        return numbers

    def write(self, numbers: Vector) -> str:
        return self._text.write(numbers)

    def _laid_out(
        self, numbers: Vector, conversation: Vector = NO_CONVERSATION, application: int = 0
    ) -> ContextView:
        clusters, axes = self._shape.clusters, self._shape.axes
        x = np.concatenate([_ONE, numbers[:clusters], numbers[clusters + axes :]])
        return ContextView(
            numbers, x, self._shape, self.write, conversation=conversation, application=application
        )


@lru_cache(maxsize=8)
def _scales(scales: tuple[float, ...], weight: float) -> Vector:
    return weight * np.array(scales or 1.0)


def _conversation(context: Context) -> Vector:
    """Return the features of the whole request, those that an earlier version lacks as 0.

    Raises BadContext.
    """
    given = context.conversation[:CONVERSATION]
    if not len(given) or not given.any():
        return NO_CONVERSATION
    if not np.abs(given).max() <= _MOST:
        raise BadContext("the conversation's features hold a non-finite or huge number")
    return given if len(given) == CONVERSATION else np.append(given, NO_CONVERSATION[len(given) :])
