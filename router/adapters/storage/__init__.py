"""The ports of the core that keep state, over Redis 8 or newer."""

from router.adapters.storage.embedded import EmbeddedRedis
from router.adapters.storage.settings import CacheBounds, StorageSettings
from router.adapters.storage.storage import Storage, open_storage

__all__ = ["CacheBounds", "EmbeddedRedis", "Storage", "StorageSettings", "open_storage"]
