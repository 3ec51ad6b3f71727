"""Vowpal Wabbit behind two small classes; the only module that imports it.

A workspace is not thread-safe: an object made here belongs to one thread at a time.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from vowpalwabbit import Workspace
from vowpalwabbit.pyvw import pylibvw

from bandit.errors import CorruptSnapshot
from bandit.settings import CONVERSATION, ContextShape
from bandit.types import Vector

_CROSS: Final = "--interactions ac --interactions ae --interactions ap"
_CROSS_ALL: Final = f"{_CROSS} --interactions aq --interactions at --interactions act"
_BITS: Final = "-b 18"
_EXPLORERS: Final = {
    "squarecb": "--squarecb --gamma_scale 10",
    "cover": "--cover 4 --psi 0.05",
    "regcb": "--regcb --mellowness 0.01",
    "epsilon": "--epsilon 0.05",
}
EXPLORER_NAMES: Final = tuple(_EXPLORERS)
_HALF: Final = 11
MORE: Final = CONVERSATION + 2
"""Numbers of a context beyond `ContextShape.total`: features of the whole request, application."""
_ACTION: Final = ord("a")
_vw: Final = pylibvw.vw
_parse: Final = _vw._parse  # noqa: SLF001 - as `Workspace` does
_finish: Final = _vw._finish_example  # noqa: SLF001 - as above
_MEMORY: Final = "/dev/shm"  # noqa: S108 - a private folder is made in it


class ContextText:
    """Writes a context as VW namespaces.

    c(lusters), e(mbedding), p(rompt features), and where they are not 0 q, the features of the
    whole request, and t, the application.
    """

    def __init__(self, shape: ContextShape) -> None:
        self._shape = shape
        self._template = f" |e {_numbered(shape.axes)} |p {_numbered(shape.features)}"

    def write(self, numbers: Vector) -> str:
        """Write [membership, projection, features, ...], (shape.total,) or with `MORE` numbers.

        >>> ContextText(ContextShape(2, 1, 1)).write(np.array([0, 1.0, 0.5, -0.25]))
        '|c 1:1.0000 |e 0:0.5000 |p 0:-0.2500'
        """
        clusters, total, each = self._shape.clusters, self._shape.total, numbers.tolist()
        parts = [f"{j}:{w:.4f}" for j, w in enumerate(each[:clusters]) if w]
        text = self._template % tuple(each[clusters:total])
        return f"|c {' '.join(parts)}{text}{_written(each[total:])}"


def more_numbers(conversation: Vector, application: int) -> Vector:
    """Return what follows a context's numbers, (MORE,), each a number that float16 can hold.

    An application is its last 22 bits, in two halves.
    """
    halves = application >> _HALF & (1 << _HALF) - 1, application & (1 << _HALF) - 1
    return np.concatenate([conversation, halves])


def _written(more: Sequence[float]) -> str:
    if not any(more):
        return ""
    *conversation, high, low = more
    told = " ".join(f"{j}:{value:.4f}" for j, value in enumerate(conversation) if value)
    application = int(high) << _HALF | int(low)
    return f" |q {told}" * bool(told) + f" |t {application}" * bool(application)


class Regressor:
    """Squared loss over action x context; the model starts at `initial` everywhere.

    It calls VW's library itself: the checks of `Workspace`, of its arguments and of the order of
    calls, take twice as long as parsing, learning and predicting do.

    low, high: bounds of labels and predictions. model: what `save` gave. Whole requests and
    applications are crossed with the action from the first example on that knows one.
    """

    def __init__(
        self, *, initial: float, low: float, high: float, model: bytes | None = None
    ) -> None:
        self._initial = f"{initial:g}"
        options = f"{_CROSS} {_BITS} -l 0.1 --min_prediction {low:g} --max_prediction {high:g}"
        self._workspace = _open(options, model)
        self._crosses_all = _crosses_all(self._workspace)
        self._features: dict[int, int] = {}

    def predict(self, text: str, slots: Sequence[int]) -> Vector:
        """Predict for each slot, (slots,); `text` by ContextText."""
        workspace, found = self._workspace, []
        # Weight 0, for VW counts what it predicts, and its counts are part of the model.
        (example,) = _parse(workspace, f"0 0 {self._initial} |a 0 {text}")
        for slot in slots:
            # Parsing takes five times as long as predicting: parse once, exchange the action.
            _vw.unsetup_example(workspace, example)
            example.pop_feature(_ACTION)
            example.push_hashed_feature(_ACTION, self._action_feature(slot), 1.0)
            _vw.setup_example(workspace, example)
            _vw.predict(workspace, example)
            found.append(example.get_simplelabel_prediction())
        _finish(workspace, example)
        return np.array(found)

    def _action_feature(self, slot: int) -> int:
        feature = self._features.get(slot)
        if feature is None:
            space = self._workspace.hash_space("a")
            feature = self._features[slot] = self._workspace.hash_feature(str(slot), space)
        return feature

    def learn(self, text: str, slot: int, y: float, weight: float) -> None:
        if not self._crosses_all and (" |q" in text or " |t" in text):
            self._workspace = _open(_CROSS_ALL, _save(self._workspace), again=True)
            self._crosses_all = True
        workspace = self._workspace
        (example,) = _parse(workspace, f"{y:.6g} {weight:.6g} {self._initial} |a {slot} {text}")
        _vw.learn(workspace, example)
        _finish(workspace, example)

    def save(self) -> bytes:
        """Return the model alone, without counters that VW writes and does not read again."""
        return _save(_open("", _save(self._workspace)))


class Explorer:
    """A contextual bandit with action-dependent features; costs are to be minimised."""

    def __init__(self, name: str, model: bytes | None = None) -> None:
        bounds = "--cb_min_cost -1 --cb_max_cost 1" if name == "regcb" else ""
        self._options = f"--cb_explore_adf {_EXPLORERS[name]} {bounds} {_CROSS_ALL} {_BITS} -l 0.3"
        self._workspace = _open(self._options, model)

    def predict(self, text: str, slots: Sequence[int]) -> Vector:
        """Return the explorer's own probabilities, before any floor, (slots,)."""
        lines = [f"shared {text}", *(f"|a {slot}" for slot in slots)]
        return np.array(self._workspace.predict(lines), dtype=np.float64)

    def learn(self, text: str, slots: Sequence[int], chosen: int, cost: float, p: float) -> None:
        """Learn a cost. chosen: index into `slots`. p: the propensity it was chosen with."""
        lines = [f"shared {text}", *(f"|a {slot}" for slot in slots)]
        lines[1 + chosen] = f"0:{cost:.6g}:{p:.6g} {lines[1 + chosen]}"
        self._workspace.learn(lines)

    def save(self) -> bytes:
        """Return the model, from which this object goes on too.

        VW leaves some counters out: only so do this object and a restored one learn alike.
        """
        model = _save(self._workspace)
        self._workspace = _open(self._options, model)
        return model


def _numbered(count: int) -> str:
    return " ".join(f"{j}:%.4f" for j in range(count))


def _crosses_all(workspace: Any) -> bool:
    return "--interactions at" in workspace.get_arguments()


def _open(options: str, model: bytes | None, *, again: bool = False) -> Any:
    """Open a workspace. again: with other options than the model's own."""
    if model is None:
        return Workspace(f"--quiet {options}")
    with _scratch() as folder:
        path = Path(folder) / "model"
        path.write_bytes(model)
        try:
            return Workspace(f"--quiet -i {path} {options if again else ''}".strip())
        except RuntimeError:
            raise CorruptSnapshot(
                "Vowpal Wabbit cannot read its model in this snapshot; go back to an older one"
            ) from None


def _save(workspace: Any) -> bytes:
    with _scratch() as folder:
        path = Path(folder) / "model"
        workspace.save(str(path))
        return path.read_bytes()


def _scratch() -> tempfile.TemporaryDirectory[str]:
    """Make a folder for VW, which knows files only; in memory where there is such a file system."""
    in_memory = os.access(_MEMORY, os.W_OK)
    return tempfile.TemporaryDirectory(prefix="vw-", dir=_MEMORY if in_memory else None)
