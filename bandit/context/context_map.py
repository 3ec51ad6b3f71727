"""The map from an embedding and the facts of a prompt to the context a policy sees."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bandit.context.features import (
    FEATURES_VERSION,
    NAMES,
    conversation_features,
    raw_features,
)
from bandit.errors import BadContext, CorruptContextMap
from bandit.settings import ContextShape
from bandit.types import Context, PromptFacts, Vector

CLUSTERS: Final = 32
AXES: Final = 32
TOP_CLUSTERS: Final = 4
TEMPERATURE: Final = 0.03
FEATURE_LIMIT: Final = 1.5
MAX_FILE_BYTES: Final = 1 << 24

Matrix = NDArray[np.float32]
_ARRAYS: Final = ("centroids", "centre", "axes", "feature_means", "feature_scales")


@dataclass(frozen=True, slots=True, eq=False)
class ContextMap:
    """A versioned map from prompts to contexts; immutable, safe to share between threads.

    centroids:      (n_clusters, d) k-means centres of sentence embeddings.
    centre:         (d,) mean embedding.
    axes:           (n_axes, d) principal axes, each divided by eigenvalue^(1/4), scaled so that
                    the projection of the fitted prompts has a mean-square norm of 1.
    feature_means, feature_scales: (n_features,) of `raw_features`.
    version:        hash of all of it; a policy learns from one version only.
    """

    centroids: Matrix
    centre: Matrix
    axes: Matrix
    feature_means: Vector
    feature_scales: Vector
    version: str
    _offsets: Matrix

    @staticmethod
    def of(arrays: Mapping[str, NDArray[np.floating]]) -> ContextMap:
        """Make a map of the five arrays, rounded to float16 so that what is saved is what is used.

        Raises:
            CorruptContextMap: an array is missing, non-finite or of the wrong shape.

        """
        stored = {name: _stored(arrays, name) for name in _ARRAYS}
        _check_shapes(stored)
        centroids = stored["centroids"].astype(np.float32)
        return ContextMap(
            centroids=centroids,
            centre=stored["centre"].astype(np.float32),
            axes=stored["axes"].astype(np.float32),
            feature_means=stored["feature_means"].astype(np.float64),
            feature_scales=stored["feature_scales"].astype(np.float64),
            version=_hash(stored),
            _offsets=(centroids * centroids).sum(axis=1) / 2,
        )

    @staticmethod
    def default() -> ContextMap:
        """Return the map shipped with the package."""
        return ContextMap.from_bytes(
            resources.files("bandit.context").joinpath("default_context.npz").read_bytes()
        )

    @staticmethod
    def load(path: Path) -> ContextMap:
        """Load a map. Raises CorruptContextMap when the file is missing, damaged or another."""
        return ContextMap.from_bytes(read_map(path))

    @staticmethod
    def from_bytes(data: bytes) -> ContextMap:
        """Read what `to_bytes` gave. Raises CorruptContextMap for anything else."""
        if len(data) > MAX_FILE_BYTES:
            raise CorruptContextMap("the context map is far too large; make it anew")
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                arrays = {name: file[name] for name in _ARRAYS}
                version = str(file["version"])
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, NotImplementedError):
            raise CorruptContextMap(
                "the context map is damaged; make it anew with scripts/fit_context"
            ) from None
        made = ContextMap.of(arrays)
        if made.version != version:
            raise CorruptContextMap(
                "the context map does not match its checksum, or was made for other prompt "
                "features; make it anew with scripts/fit_context"
            )
        return made

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        arrays = {name: getattr(self, name).astype(np.float16) for name in _ARRAYS}
        np.savez_compressed(buffer, version=np.array(self.version), **arrays)
        return buffer.getvalue()

    def save(self, path: Path) -> None:
        path.write_bytes(self.to_bytes())

    @property
    def shape(self) -> ContextShape:
        """Return the dimensions; axes are of length eigenvalue^(-1/4) but for one factor."""
        lengths = np.maximum(np.linalg.norm(self.axes.astype(np.float64), axis=1), 1e-9)
        norm = np.sqrt((lengths**-4).sum() / (lengths**-2).sum())
        scales = tuple((1 / (lengths * norm)).round(6).tolist())
        return ContextShape(len(self.centroids), len(self.axes), len(self.feature_means), scales)

    def build(self, embedding: NDArray[np.float32], facts: PromptFacts) -> Context:
        """Build the context of one prompt.

        embedding: (d,), unit norm.

        Raises:
            BadContext: the embedding has another dimension or a non-finite number.

        """
        if embedding.shape != self.centre.shape:
            raise BadContext(
                f"the embedding has shape {embedding.shape}, the context map wants "
                f"{self.centre.shape}; use the embedding model the map was fitted with"
            )
        if not np.isfinite(embedding).all():
            raise BadContext("the embedding holds a non-finite number; embed the prompt again")
        return Context(
            membership=self.membership(embedding),
            projection=self.projection(embedding),
            features=self.features(facts),
            version=self.version,
            conversation=conversation_features(facts),
            application=facts.application,
        )

    def projection(self, embedding: NDArray[np.float32]) -> Vector:
        """Project on the principal axes, (n_axes,)."""
        return (self.axes @ (embedding - self.centre)).astype(np.float64)

    def membership(self, embedding: NDArray[np.float32]) -> Vector:
        """Return the softmax of -|e - c|^2 / 2T, its top four renormalised; (n_clusters,)."""
        scores = (self.centroids @ embedding - self._offsets).astype(np.float64) / TEMPERATURE
        top = scores.argsort()[-TOP_CLUSTERS:]
        parts = np.exp(scores[top] - scores[top[-1]])
        membership = np.zeros(len(scores))
        membership[top] = parts / parts.sum()
        return membership

    def features(self, facts: PromptFacts) -> Vector:
        """Return centred and scaled prompt features, (n_features,)."""
        return self.scaled(raw_features(facts))

    def scaled(self, raw: Vector) -> Vector:
        """Centre and scale raw features, (n_features,)."""
        scaled = (raw - self.feature_means) / self.feature_scales
        return np.minimum(np.maximum(scaled, -FEATURE_LIMIT), FEATURE_LIMIT)


def read_map(path: Path) -> bytes:
    """Read a map's file. Raises CorruptContextMap when it can't be read."""
    try:
        return path.read_bytes()
    except OSError:
        raise CorruptContextMap(
            "the context map cannot be read; check its path, or make one with scripts/fit_context"
        ) from None


def _stored(arrays: Mapping[str, NDArray[np.floating]], name: str) -> NDArray[np.float16]:
    if name not in arrays:
        raise CorruptContextMap(f"the context map lacks {name}; make it anew")
    stored = np.ascontiguousarray(arrays[name], dtype=np.float16)
    if not np.isfinite(stored).all():
        raise CorruptContextMap(f"{name} of the context map holds a non-finite number")
    return stored


def _check_shapes(stored: Mapping[str, NDArray[np.float16]]) -> None:
    width = stored["centre"].shape
    fits = (
        len(width) == 1
        and stored["centroids"].shape[1:] == width
        and stored["axes"].shape[1:] == width
        and len(stored["centroids"]) >= TOP_CLUSTERS
        and stored["feature_means"].shape == stored["feature_scales"].shape == (len(NAMES),)
        and bool((stored["feature_scales"] > 0).all())
    )
    if not fits:
        raise CorruptContextMap("the arrays of the context map do not fit together; make it anew")


def _hash(stored: Mapping[str, NDArray[np.float16]]) -> str:
    digest = hashlib.sha256(f"features {FEATURES_VERSION}".encode())
    for name in _ARRAYS:
        array = stored[name]
        digest.update(f"{name}{array.shape}".encode())
        digest.update(array.astype("<f2").tobytes())
    return digest.hexdigest()[:16]
