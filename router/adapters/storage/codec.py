"""Values of the core as MessagePack, and back."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from router.domain.errors import StorageCorrupt

T = TypeVar("T")

encode = msgspec.msgpack.Encoder().encode


class Codec(Generic[T]):
    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decoder = msgspec.msgpack.Decoder(kind)

    def decode(self, data: bytes) -> T:
        """Raises StorageCorrupt for anything that is not a whole value of the kind."""
        try:
            return self._decoder.decode(data)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
            raise StorageCorrupt(
                f"a stored {self._kind.__name__} can't be read: it is damaged or of another version"
            ) from None
