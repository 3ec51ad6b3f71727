"""Ids of tool calls in the alphabet and length that the next model's dialect takes."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field, replace
from re import Pattern

from router.domain.chat import ToolCall

DIGEST_BYTES = 64
_BROKEN = re.compile(r"[^A-Za-z0-9_-]")
MAX_NAME_CHARACTERS = 64


@dataclass(frozen=True, slots=True)
class IdForm:
    """fits: what an id has to match in full. length: of those made in place of others."""

    fits: Pattern[str]
    length: int = 24


PRINTED = IdForm(re.compile(r"[!-~]{1,40}"))
"""Chat completions: printable, at most 40 characters."""
WORDS = IdForm(re.compile(r"[A-Za-z0-9_-]{1,64}"))


def exactly(length: int) -> IdForm:
    return IdForm(re.compile(rf"[A-Za-z0-9]{{{length}}}"), length)


@dataclass(slots=True)
class CallIds:
    """Gives every call of one conversation an id of its own, in the order of the calls.

    What fits and is free stays as it is. The same conversation gets the same ids, and so does one
    that goes on from it.
    """

    form: IdForm
    _taken: set[str] = field(default_factory=set)
    _made: dict[str, int] = field(default_factory=dict)

    def of(self, call_id: str) -> str:
        made = call_id
        while made in self._taken or not self.form.fits.fullmatch(made):
            salt = self._made.get(call_id, 0)
            made, self._made[call_id] = _made(call_id, salt, self.form.length), salt + 1
        self._taken.add(made)
        return made

    def renamed(self, call: ToolCall) -> ToolCall:
        """Names that no dialect takes were made up by a model: none of its tools has them."""
        name = _BROKEN.sub("_", call.name)[:MAX_NAME_CHARACTERS]
        call_id = self.of(call.id)
        is_same = call_id == call.id and name == call.name
        return call if is_same else replace(call, id=call_id, name=name)


def _made(call_id: str, salt: int, length: int) -> str:
    """Letters and digits alone: base32 has no others."""
    text = f"{salt}:{call_id}".encode(errors="surrogatepass")
    digest = hashlib.blake2b(text, digest_size=DIGEST_BYTES).digest()
    return base64.b32encode(digest).decode().rstrip("=")[:length]
