"""The config file: schema, loader and its translation into core values."""

from router.config.load import load_config, parse_config
from router.config.schema import Config

__all__ = ["Config", "load_config", "parse_config"]
