"""Translates between the domain and the protocol of a provider; no I/O."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET

from router.adapters.providers.failures import told
from router.adapters.providers.reading.calls import CallPiece, Calls
from router.adapters.providers.reading.characters import Joiner
from router.adapters.providers.reading.contents import HIDDEN, REFUSAL, UNREAD, parts_of
from router.adapters.providers.reading.fence import Unfencer
from router.adapters.providers.reading.fields import (
    Counts,
    bodies_of,
    decoded,
    error_of,
    is_interrupted,
    known_end,
    plain_text,
)
from router.adapters.providers.sending.bodies import adjusted
from router.adapters.providers.sending.stops import StopCut
from router.adapters.providers.sse import BOM, DONE, ErrorEvent
from router.domain.catalog import Deployment
from router.domain.chat import (
    Answer,
    Beside,
    ChatRequest,
    Delta,
    FinishReason,
    Format,
    Message,
    OpaquePart,
    Role,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    Unseen,
    Usage,
)
from router.domain.errors import ProviderError, ProviderMalformed, ProviderUnavailable

Json: TypeAlias = dict[str, Any]
Kept = TypeVar("Kept", bound=msgspec.Struct)
CHARS_PER_TOKEN = 4
HIDDEN_MARGIN: Final = 32
"""Tokens of a stream beyond what can be seen of it that are taken for overhead."""
_JSON: Final = (b"{", b"[")
MAX_KEPT_BYTES: Final = 1 << 20
"""Of what a model wrote beside one answer; more is not carried back to it."""
MAX_KEPT: Final = 256
"""Items of one kind in it."""
ESCAPED: Final = "\U0010ffff"
"""Begins a text with half of a surrogate pair, which follows as JSON: UTF-8 can't hold it."""


class Gathers(Protocol):
    """Gathers what stands beside an answer's text and calls, for its caller."""

    def taken(self) -> Iterable[Delta]:
        """Returns what is to be handed out live, once."""
        ...

    def kept(self) -> tuple[Beside, ...]: ...


@dataclass(slots=True)
class Assembler(ABC):
    """Puts one answer together, whole or streamed.

    ended: the provider has said that nothing follows; never set where a protocol has no such mark.
    end: why the answer ended, as `end_of` spells it. hidden, said: characters of reasoning
    and of text so far.
    """

    deployment: Deployment
    chat: ChatRequest
    ended: bool = False
    model: str = ""
    end: str = ""
    refusal: bool = False
    hidden: int = 0
    said: int = 0
    counts: Counts = field(default_factory=Counts)
    mean_logprob: float | None = None
    _calls: Calls | None = None
    _text: list[str] = field(default_factory=list)
    _joiner: Joiner | None = None
    _unfencer: Unfencer | None = None
    _cut: StopCut | None = None
    _is_whole: bool = False
    _is_closed: bool = False
    _is_unread: bool = False
    _told: tuple[int, int, Usage] = (0, 0, Usage())
    beside: Gathers | None = None

    @abstractmethod
    def read(self, body: Json, *, whole: bool) -> Iterator[Delta]:
        """Yields what a body adds to the answer. whole: it is all of it."""

    def feed(self, data: bytes) -> Iterator[Delta | Unseen]:
        """Read the data of one event. Raises ProviderError."""
        if isinstance(data, ErrorEvent):
            raise told(_json_or_text(data))
        data = data.strip()
        if self.ended or not data:
            return
        if data.startswith(DONE):
            self.ended = True
        # A word alone keeps a connection open; half of an object is a hole in the answer.
        elif data[:1] in _JSON:
            yield from self._read_all(self._bodies_of(data), whole=False)
        if self.ended:
            yield from self.close()

    def _bodies_of(self, data: bytes) -> list[Json]:
        """Returns what an event holds; nonsense after the end spoils no answer."""
        try:
            return bodies_of(data)
        except ProviderMalformed:
            if self.end:
                return []
            raise

    def whole(self, data: bytes) -> Iterator[Delta | Unseen]:
        """Read a body that is JSON: one answer, or a list of the pieces of one."""
        bodies = bodies_of(data.removeprefix(BOM))
        self._is_whole = len(bodies) == 1
        deltas = [*self._read_all(bodies, whole=self._is_whole)]
        self.ended, was_cut = True, self._is_cut
        deltas += self.close()
        if self._is_cut and not was_cut:  # in a text that was held back till here
            self._calls = None
            deltas = [delta for delta in deltas if not isinstance(delta, ToolCallDelta)]
        yield from deltas

    def _read_all(self, bodies: list[Json], *, whole: bool) -> Iterator[Delta | Unseen]:
        for body in bodies:
            error = error_of(body)
            if error is not None:
                raise told(error)
            self.counts.add(body)
            deltas = self.read(body, whole=whole)
            yield from deltas if self.beside is None else self._with_beside(self.beside, deltas)
            yield from self._unseen()

    def _with_beside(self, beside: Gathers, deltas: Iterator[Delta]) -> Iterator[Delta]:
        """Hand out what stands beside with the words that follow: till then others may answer."""
        told = [*deltas]
        if told:
            yield from beside.taken()
        yield from told

    def _unseen(self) -> Iterator[Unseen]:
        """Tell what was written and can't be seen, and what was read, till all is counted."""
        if self.end or not (self.hidden or self.counts.most):
            return
        counted = self.counts.usage
        tokens = counted.output_tokens
        is_hidden = counted.reasoning_tokens or tokens > 2 * len(self._text) + HIDDEN_MARGIN
        now = self.hidden, tokens if is_hidden else 0, counted
        if now != self._told:
            self._told = now
            yield Unseen(*now)

    def say(self, text: str) -> Iterable[Delta]:
        if self._joiner is not None or not text.isascii():
            self._joiner = self._joiner or Joiner()
            text = self._joiner.joined(text)
        if self.chat.response_format.kind is not Format.TEXT and not self._is_closed:
            self._unfencer = self._unfencer or Unfencer(whole=self._is_whole)
            text = self._unfencer.feed(text)
        if self.chat.sampling.stop:
            self._cut = self._cut or StopCut(self.chat.sampling.stop)
            text = self._cut.feed(text)
            self.ended = self.ended or self._cut.stopped
        return self._hand_out(text)

    def _hand_out(self, text: str) -> Iterable[Delta]:
        if not text:
            return ()
        self._text.append(text)
        self.said += len(text)
        return (TextDelta(text, self.refusal),)

    def say_parts(self, content: Any) -> Iterable[Delta]:
        """Say the text of a content, and count its hidden reasoning."""
        plain = plain_text(content)
        return self._say_each(content) if plain is None else self.say(plain)

    def _say_each(self, content: Any) -> Iterator[Delta]:
        for kind, text in parts_of(content):
            if kind == HIDDEN:
                self.hidden += len(text)
            elif kind == UNREAD:
                self._is_unread = True
            else:
                self.refusal = self.refusal or (kind == REFUSAL and bool(text))
                yield from self.say(text)

    def call(self, piece: CallPiece) -> Iterator[Delta]:
        if (piece.id or piece.name or piece.arguments) and not self._is_cut:
            self._calls = self._calls or Calls(self.chat)
            yield from self._calls.add(piece)

    @property
    def _is_cut(self) -> bool:
        """True where a stop sequence was found: to the caller nothing follows it."""
        return self._cut is not None and self._cut.stopped

    @property
    def heard(self) -> int:
        """Characters of text so far, with those that may begin a stop sequence."""
        return self.said + (len(self._cut.held) if self._cut is not None else 0)

    @property
    def has_room(self) -> bool:
        """False once so much was thought that it is not carried back, nor held until then."""
        return self.hidden <= MAX_KEPT_BYTES

    def kept(self, calls: tuple[ToolCall, ...]) -> msgspec.Struct | None:
        """Returns what the model wants to read again with this answer; None for nothing."""
        del calls
        return None

    def _opaque(self, calls: tuple[ToolCall, ...]) -> tuple[OpaquePart, ...]:
        kept = self.kept(calls)
        data = b"" if kept is None else _written(kept)
        if not 0 < len(data) <= MAX_KEPT_BYTES:
            return ()
        return (OpaquePart(self.deployment.provider, self.deployment.model, data),)

    @property
    def has_said(self) -> bool:
        return bool(self._text or self._calls)

    def close(self) -> Iterator[Delta]:
        """Hand out what was held back: nothing follows. Done once."""
        if self._is_closed:
            return
        if self._joiner is not None:
            yield from self.say(self._joiner.ended())
        self._is_closed = True
        if self._unfencer is not None:
            yield from self.say(self._unfencer.close())
        if self._cut is not None:
            yield from self._hand_out(self._cut.rest())
        if self._calls is not None:
            yield from self._calls.close()
        if self.beside is not None and self.has_said:
            yield from self.beside.taken()

    def finish(self) -> Answer:
        """Raises ProviderError where the answer did not come to a good end."""
        for _ in self.close():
            pass
        calls = self._calls.whole() if self._calls else ()
        return Answer(
            text="".join(self._text),
            finish_reason=self._reason(calls),
            usage=self._usage(calls),
            model=self.model or self.deployment.model,
            tool_calls=calls,
            mean_logprob=self.mean_logprob,
            refusal=self.refusal,
            opaque=self._opaque(calls),
            beside=UNSET if self.beside is None else self.beside.kept(),
        )

    @property
    def begun_calls(self) -> int:
        return 0 if self._calls is None else self._calls.begun

    def _reason(self, calls: tuple[ToolCall, ...]) -> FinishReason:
        """Returns why the answer ended; calls that are whole are one, whatever is told."""
        if self._is_cut:
            return FinishReason.TOOL_CALLS if calls else FinishReason.STOP
        reason, has_calls = known_end(self.end), self._calls is not None and self._calls.are_whole
        if not self.end and (not self.ended or not (has_calls or self._is_plain)):
            raise self._broke_off(calls)
        if has_calls:
            return FinishReason.TOOL_CALLS
        if not self.end:
            return FinishReason.STOP
        if reason is None or (self._is_unread and not self.has_said):
            raise self._failed(calls)
        if reason is FinishReason.LENGTH or reason is FinishReason.CONTENT_FILTER:
            return reason
        if calls:
            return FinishReason.TOOL_CALLS
        is_lost = self._calls is not None or reason is FinishReason.TOOL_CALLS
        if is_lost and (self._calls is not None or not self._text):
            raise self._failed(calls)
        return FinishReason.STOP

    def _broke_off(self, calls: tuple[ToolCall, ...]) -> ProviderError:
        """Returns the error of no end: of a stream more may have been written than came."""
        error = ProviderMalformed("the provider's answer broke off")
        if self._is_whole and self.counts.most:
            error.usage = self._usage(calls)
        return error

    @property
    def _is_plain(self) -> bool:
        """True for a whole answer of which only the end was left out."""
        return self._is_whole and bool(self._text) and self._calls is None

    def _failed(self, calls: tuple[ToolCall, ...]) -> ProviderError:
        """Returns the error of an end that is not known to be good: what was written is charged."""
        if is_interrupted(self.end):
            return ProviderUnavailable("the provider broke its answer off with an error")
        error = ProviderMalformed("the provider's answer came to an unknown end")
        error.usage = self._usage(calls)
        return error

    def _usage(self, calls: tuple[ToolCall, ...]) -> Usage:
        """Returns the provider's counts, or a guess: an answer without usage was not free."""
        counted = self.counts.usage
        read, written = counted.input_tokens, counted.output_tokens
        characters = self.said + sum(len(c.arguments) for c in calls) + self.hidden
        guess = 1 + characters // CHARS_PER_TOKEN
        # Where a stop sequence has cut it, the counts so far are not those of the end.
        broken = self._is_cut and not self.end
        output = max(written, guess) if broken else written or guess
        return replace(
            counted,
            input_tokens=read or self.chat.estimated_input_tokens,
            output_tokens=output,
            guessed=broken or not (read and written),
        )


def _json_or_text(data: bytes) -> Any:
    try:
        return decoded(data)
    except ProviderMalformed:
        return data.decode(errors="replace")


class Dialect(Protocol):
    """Translates for any deployment that speaks one protocol."""

    def path(self, deployment: Deployment, *, stream: bool) -> str: ...

    def headers(self, key: str) -> Mapping[str, str]: ...

    def body(self, deployment: Deployment, chat: ChatRequest, *, stream: bool) -> Json:
        """Raises ValueError for a request that the protocol can't carry."""
        ...

    def assembler(self, deployment: Deployment, chat: ChatRequest) -> Assembler: ...


def _written(kept: msgspec.Struct) -> bytes:
    try:
        return msgspec.json.encode(kept)
    except UnicodeEncodeError:
        return msgspec.json.encode(in_texts(msgspec.to_builtins(kept), _escaped))


def in_texts(value: Any, change: Callable[[str], Any]) -> Any:
    """Returns a value of JSON with each of its texts changed."""
    if isinstance(value, dict):
        return {name: in_texts(each, change) for name, each in value.items()}
    if isinstance(value, list):
        return [in_texts(each, change) for each in value]
    return change(value) if isinstance(value, str) else value


def _escaped(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return ESCAPED + json.dumps(text)
    return text


def carried(message: Message, deployment: Deployment, kind: type[Kept]) -> Kept | None:
    """Returns what this deployment's model wrote beside a turn; None for nothing of that kind.

    A caller may send anything: what the kind does not name is not read, the rest is left out.
    """
    for part in message.opaque:
        is_own = part.provider == deployment.provider and part.model == deployment.model
        if is_own and len(part.data) <= MAX_KEPT_BYTES:
            try:
                return msgspec.json.decode(part.data, type=kind)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
    return None


def as_written(text: str) -> str | msgspec.Raw:
    """Returns a text of `carried` as it goes out: unchanged, halves of a surrogate pair too."""
    if not text.startswith(f'{ESCAPED}"'):
        return text
    try:
        return msgspec.Raw(json.dumps(json.loads(text.removeprefix(ESCAPED))).encode())
    except ValueError:
        return text


def given(**fields: Any) -> Json:
    """Returns only the fields that are set."""
    return {key: value for key, value in fields.items() if value not in (None, (), [], "")}


def is_plain(chat: ChatRequest) -> bool:
    """True for texts alone, each of which says something, that the user begins: all take them."""
    said = all(
        len(m.parts) == 1
        and isinstance(m.parts[0], TextPart)
        and not (m.tool_calls or m.role is Role.TOOL)
        and bool(text := m.parts[0].text)
        and not text.isspace()
        for m in chat.messages
    )
    first = next((m.role for m in chat.messages if m.role is not Role.SYSTEM), None)
    return said and first is Role.USER


def temperature_of(deployment: Deployment, chat: ChatRequest) -> float | None:
    wanted, most = chat.sampling.temperature, deployment.rules.max_temperature
    return wanted if wanted is None or most is None else min(wanted, most)


def sent_stops(deployment: Deployment, chat: ChatRequest, *, blank: bool = True) -> list[str]:
    """Returns the stop sequences that the deployment takes. blank: it takes white space alone."""
    usable = [stop for stop in chat.sampling.stop if blank or not stop.isspace()]
    return usable[: deployment.rules.max_stops]


def fitting(body: Json, deployment: Deployment) -> Json:
    """Returns a body with the deployment's own fields, and without those that it does not take."""
    rules = deployment.rules
    changes = rules.parameters or rules.omit or rules.renamed
    return adjusted(body, rules) if changes else body
