"""What the `map` section may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.config.section import Section


class MapSection(Section):
    """What is kept of prompts for `adaptive-router map`; by default nothing."""

    terms: bool = False
    """Count words per cluster; a word is shown once it came from five different prompts of it."""
    sample_embeddings: Annotated[int, Field(ge=0, le=20_000, strict=True)] = 0
    """Embeddings kept for `map refit`; from an embedding its text can be guessed."""
    sample_prompts: Annotated[int, Field(ge=0, le=1_000, strict=True)] = 0
    """Beginnings of prompts that are kept, and shown on the map."""
    refit_every_h: Annotated[float, Field(ge=0, le=10_000)] = 0.0
    """How often the learner fits clusters anew, into the file `policy.context_map`; 0 for never."""
