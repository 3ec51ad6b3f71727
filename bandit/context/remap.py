"""Contexts logged under an earlier context map, made usable under a new one.

The log holds contexts, never embeddings: 1.7 kB a decision, of which a context is 0.8, and from a
whole embedding a prompt can be guessed (Morris et al. 2023). So an embedding is estimated: with
some hundreds of sampled pairs (context under the earlier map, embedding) a linear regression gives
its mean given the context, and the new map reads that. Nothing is added per event, the bridge is
50 kB once. On prompts of another kind than the earlier map was fitted to, 500 pairs: the strongest
cluster is the right one for 86 %, the projection keeps 73 % of its variance; the pseudo-inverse of
the earlier projection, which needs no pairs, has 75 and 65 %; one bit per number, 48 bytes an
event, 87 and 77 %; a byte per number, 388 an event, all.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bandit.context.context_map import ContextMap, read_map
from bandit.errors import BadContext, CorruptContextMap, VersionMismatch
from bandit.types import Context, Vector

Rows = NDArray[np.float64]

RIDGE: Final = 0.1
MOST_BRIDGES: Final = 3
"""Earlier maps that a new one can read; the oldest are dropped."""
_BRIDGE: Final = ("weights", "feature_means", "feature_scales")


@dataclass(frozen=True, slots=True, eq=False)
class Bridge:
    """Estimates embeddings, and features before centring, from contexts of the map `source`.

    weights: (1 + n_clusters + n_axes, d), for [1, membership, projection].
    feature_means, feature_scales: (n_features,), the source's.
    """

    source: str
    weights: Rows
    feature_means: Vector
    feature_scales: Vector

    def embedding(self, context: Context) -> NDArray[np.float32]:
        """Return the expected embedding, (d,); shorter than one. Raises BadContext."""
        x = np.concatenate([[1.0], context.membership, context.projection])
        if x.shape != self.weights.shape[:1] or not np.isfinite(x).all():
            raise BadContext("the context does not fit the map its version names")
        return (x @ self.weights).astype(np.float32)

    def raw_features(self, features: Vector) -> Vector:
        """Undo the centring and scaling of features. Raises BadContext."""
        if features.shape != self.feature_means.shape or not np.isfinite(features).all():
            raise BadContext("the context's features do not fit the map its version names")
        return features * self.feature_scales + self.feature_means


def bridge_from(source: ContextMap, embeddings: NDArray[np.float32]) -> Bridge:
    """Fit by least squares with a small ridge. embeddings: (n, d), of prompts as in the log."""
    contexts = np.array([_regressors(source, embedding) for embedding in embeddings])
    gram = contexts.T @ contexts + RIDGE * np.eye(contexts.shape[1])
    weights = np.linalg.solve(gram, contexts.T @ embeddings.astype(np.float64))
    return Bridge(source.version, weights, source.feature_means, source.feature_scales)


@dataclass(frozen=True, slots=True, eq=False)
class Remap:
    """A map in use, the target, and bridges to it by the version they come from."""

    target: ContextMap
    bridges: Mapping[str, Bridge]

    def context(self, context: Context) -> Context:
        """Return the context in the target's version. Raises VersionMismatch, BadContext."""
        if context.version == self.target.version:
            return context
        bridge = self.bridges.get(context.version)
        if bridge is None:
            raise VersionMismatch(
                f"nothing leads from context map {context.version[:40]!r} to "
                f"{self.target.version!r}; leave the context out"
            )
        embedding = bridge.embedding(context)
        return Context(
            membership=self.target.membership(embedding),
            projection=self.target.projection(embedding),
            features=self.target.scaled(bridge.raw_features(context.features)),
            version=self.target.version,
            conversation=context.conversation,
            application=context.application,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Refit:
    """A context map with its bridges. positions: (n_clusters, 2), its layout; or None."""

    map: ContextMap
    bridges: tuple[Bridge, ...] = ()
    positions: Rows | None = None

    @property
    def remap(self) -> Remap:
        return Remap(self.map, {bridge.source: bridge for bridge in self.bridges})

    def to_bytes(self) -> bytes:
        """Write a file that `ContextMap.from_bytes` reads as well."""
        with np.load(io.BytesIO(self.map.to_bytes()), allow_pickle=False) as file:
            arrays: dict[str, Any] = dict(file)
        if self.positions is not None:
            arrays["positions"] = self.positions.astype(np.float32)
        arrays["sources"] = np.array([bridge.source for bridge in self.bridges], dtype="U64")
        for i, bridge in enumerate(self.bridges):
            for name in _BRIDGE:
                arrays[f"bridge{i}.{name}"] = getattr(bridge, name).astype(np.float16)
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        return buffer.getvalue()

    @staticmethod
    def load(path: Path) -> Refit:
        """Load a map. Raises CorruptContextMap when the file is missing, damaged or another."""
        return Refit.from_bytes(read_map(path))

    @staticmethod
    def from_bytes(data: bytes) -> Refit:
        """Read a map, with bridges or without. Raises CorruptContextMap."""
        made = ContextMap.from_bytes(data)
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                names = set(file.files)
                sources = file["sources"].tolist() if "sources" in names else []
                bridges = tuple(
                    _bridge(made, str(source), [file[f"bridge{i}.{name}"] for name in _BRIDGE])
                    for i, source in enumerate(sources[:MOST_BRIDGES])
                )
                positions = file["positions"].astype(np.float64) if "positions" in names else None
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile):
            raise _corrupt() from None
        if positions is not None and (
            positions.shape != (len(made.centroids), 2) or not np.isfinite(positions).all()
        ):
            raise _corrupt()
        return Refit(made, bridges, positions)


def _bridge(made: ContextMap, source: str, parts: Sequence[NDArray[Any]]) -> Bridge:
    weights, means, scales = (part.astype(np.float64) for part in parts)
    width = made.centre.shape[0]
    fits = weights.ndim == 2 and weights.shape[1] == width and means.shape == scales.shape  # noqa: PLR2004 - a matrix
    if not fits or not all(np.isfinite(part).all() for part in (weights, means, scales)):
        raise _corrupt()
    return Bridge(source, weights, means, scales)


def _regressors(source: ContextMap, embedding: NDArray[np.float32]) -> Vector:
    parts = ([1.0], source.membership(embedding), source.projection(embedding))
    return np.concatenate(parts)


def _corrupt() -> CorruptContextMap:
    return CorruptContextMap(
        "the context map's bridges or layout are damaged; make it anew with `map refit`"
    )
