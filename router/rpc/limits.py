"""How much a request may hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """characters: of all texts together. schema_characters: of one JSON Schema.

    all_schema_characters: of all of a request together, since checking one takes time.
    """

    messages: int = 1_024
    parts: int = 64
    characters: int = 400_000
    tools: int = 128
    tool_calls: int = 128
    schema_characters: int = 65_536
    all_schema_characters: int = 131_072
    stops: int = 8
    stop_characters: int = 256
    name_characters: int = 128
    url_characters: int = 2_000_000  # data: URLs carry the image itself
    output_tokens: int = 1_000_000
    weight: float = 10.0
