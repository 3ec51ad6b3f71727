"""What the `map` section may say."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from router.config.section import Section


class MapSection(Section):
    """What is kept of prompts for `adaptive-router map`; by default nothing.

    terms: count words per cluster; shown once they came from five different prompts of it.
    sample_embeddings: how many are kept, for `map refit`; text can be guessed from an embedding.
    sample_prompts: how many beginnings of prompts are kept and shown.
    refit_every_h: how often the learner fits clusters anew, into the file `policy.context_map`; 0
    for never.
    """

    terms: bool = False
    sample_embeddings: Annotated[int, Field(ge=0, le=20_000, strict=True)] = 0
    sample_prompts: Annotated[int, Field(ge=0, le=1_000, strict=True)] = 0
    refit_every_h: Annotated[float, Field(ge=0, le=10_000)] = 0.0
