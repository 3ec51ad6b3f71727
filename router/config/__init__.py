"""The config file: schema, loader and its translation into the rooms' values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.config.load import doubts_of, load_config, parse_config

if TYPE_CHECKING:
    from router.config.schema import Config

__all__ = ["Config", "doubts_of", "load_config", "parse_config"]


def __getattr__(name: str) -> object:
    """Import the schema when it is first used: the rooms bring numpy, `--help` need not wait."""
    if name != "Config":
        raise AttributeError(name)
    from router.config.schema import Config  # noqa: PLC0415 - see above

    return Config
