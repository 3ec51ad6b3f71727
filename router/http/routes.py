"""The paths that are served, and the short handlers behind some of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from router.domain.catalog import Catalog
from router.domain.chat import RESPONSES as WRITTEN_AS_ITEMS
from router.domain.errors import FieldViolation
from router.domain.tenants import Tenant
from router.doors.checks import Violations
from router.http.answering import AskedChat, ChatHandler, Desk, Object
from router.http.anthropic_form import AnthropicErrors, MessagesWriter
from router.http.bodies import decoded
from router.http.chat_completions import ChatCompletionBody, ChatCompletionReader, decode_chat
from router.http.decisions import (
    DecideHandler,
    DecisionHandler,
    FeedbackHandler,
    OutcomeHandler,
)
from router.http.exchange import Exchange
from router.http.guard import Route
from router.http.messages import MessagesBody, MessagesReader, decode_messages
from router.http.openai_form import ChatCompletionWriter, OpenAiErrors
from router.http.options import AUTO
from router.http.originals import (
    OriginalReader,
    own_of_chat,
    own_of_messages,
    own_of_responses,
)
from router.http.reading import ChatBuilder
from router.http.responses import ResponsesBody, ResponsesReader, decode_responses
from router.http.responses_form import ResponsesErrors, ResponsesWriter
from router.http.responses_parts import echoed
from router.http.status import UnknownModel

OPENAI = OpenAiErrors()
ANTHROPIC = AnthropicErrors()
RESPONSES = ResponsesErrors()
CHAT_ORIGINALS = OriginalReader("openai", ChatCompletionBody, own_of_chat)
MESSAGES_ORIGINALS = OriginalReader("anthropic", MessagesBody, own_of_messages, ("anthropic-beta",))
RESPONSES_ORIGINALS = OriginalReader(WRITTEN_AS_ITEMS, ResponsesBody, own_of_responses)
Serves = Callable[[str], bool]
LIVE, WHOLE = "live", ""
OPEN: Final = {"has_key": False, "is_open": True}


def routes_of(desk: Desk, serves: Serves) -> Mapping[str, Mapping[str, Route]]:
    """serves: tells whether a component of the process does, "" for the whole."""
    chat = ChatHandler(desk, decode_chat, read_chat, CHAT_ORIGINALS)
    messages = ChatHandler(desk, decode_messages, read_messages, MESSAGES_ORIGINALS)
    responses = ChatHandler(desk, decode_responses, read_responses, RESPONSES_ORIGINALS)
    counted = CountHandler(desk)
    models = ModelsHandler(desk)
    explained = DecisionHandler(desk)
    listed = Route("Models", models, OPENAI, has_body=False)
    return {
        "/v1/chat/completions": {"POST": Route("ChatCompletions", chat, OPENAI)},
        "/v1/messages": {"POST": Route("Messages", messages, ANTHROPIC)},
        "/v1/messages/count_tokens": {"POST": Route("CountTokens", counted, ANTHROPIC)},
        "/v1/responses": {"POST": Route("Responses", responses, RESPONSES)},
        "/v1/models": {"GET": listed},
        "/v1/models/*": {"GET": listed},
        "/v1/decisions": {"POST": Route("Decisions", DecideHandler(desk, chat), OPENAI)},
        "/v1/decisions/*": {"GET": Route("Decision", explained, OPENAI, has_body=False)},
        "/v1/decisions/*/outcome": {"POST": Route("Outcome", OutcomeHandler(desk), OPENAI)},
        "/v1/feedback": {"POST": Route("Feedback", FeedbackHandler(desk), OPENAI)},
        "/livez": {"GET": Route("Livez", ProbeHandler(serves, LIVE), OPENAI, **OPEN)},
        "/readyz": {"GET": Route("Readyz", ProbeHandler(serves, WHOLE), OPENAI, **OPEN)},
    }


def read_chat(body: ChatCompletionBody, _: Object, builder: ChatBuilder, desk: Desk) -> AskedChat:
    usage = body.stream_options is not None and bool(body.stream_options.include_usage)
    writer = ChatCompletionWriter(desk.new_id, desk.clock(), body.model, tells_usage=usage)
    chat = ChatCompletionReader(builder).read(body)
    return AskedChat(body.model, chat, dict(body.metadata or {}), bool(body.stream), writer)


def read_messages(body: MessagesBody, _: Object, builder: ChatBuilder, desk: Desk) -> AskedChat:
    writer = MessagesWriter(desk.new_id, body.model)
    chat = MessagesReader(builder).read(body)
    return AskedChat(body.model, chat, body.metadata or {}, bool(body.stream), writer)


def read_responses(
    body: ResponsesBody, plain: Object, builder: ChatBuilder, desk: Desk
) -> AskedChat:
    metadata = dict(body.metadata or {})
    writer = ResponsesWriter(desk.new_id, desk.clock(), body.model, echoed(plain))
    chat = ResponsesReader(builder).read(body)
    return AskedChat(body.model, chat, metadata, bool(body.stream), writer)


class CountHandler:
    """Guesses the tokens of a request on the safe side: no provider is asked."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, call: Exchange, body: bytes) -> None:
        count = await self._desk.read(call.tenant.name, body, partial(self._count, body))
        await call.reply(200, {"input_tokens": count}, [])

    def _count(self, body: bytes) -> int:
        found = Violations()
        builder = ChatBuilder(found, self._desk.limits)
        chat = MessagesReader(builder, needs_limit=False).read(decoded(body, decode_messages))
        found.done()
        return chat.estimated_input_tokens


class ProbeHandler:
    """Answers 200 while the component serves, else 503."""

    def __init__(self, serves: Serves, component: str) -> None:
        self._serves = serves
        self._component = component

    async def __call__(self, call: Exchange, _: bytes) -> None:
        serving = self._serves(self._component)
        await call.reply(200 if serving else 503, {"serving": serving}, [])


class ModelsHandler:
    """Lists what `model` may name: `auto`, plans, arms that the tenant may use."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def __call__(self, call: Exchange, _: bytes) -> None:
        models = models_of(self._desk.live.service.catalog, call.tenant)
        if not call.named:
            await call.reply(200, _listing(list(models.values())), [])
        elif call.named in models:
            await call.reply(200, models[call.named], [])
        else:
            raise UnknownModel(FieldViolation("model", "name one of GET /v1/models"))


def models_of(catalog: Catalog, tenant: Tenant) -> dict[str, dict[str, Any]]:
    """Returns them by name. An arm hides a plan of its name, which calls it alone."""
    may = tenant.limits.arms
    windows = {
        name: max(d.context_window_tokens for d in arm.deployments)
        for name, arm in catalog.arms.items()
        if not may or name in may
    }
    found = {AUTO: _model(AUTO, "auto", max(windows.values(), default=0))}
    for plan in catalog.plans.values():
        if windows.keys() >= set(plan.arms):
            window = max(windows[arm] for arm in plan.rungs)
            found[plan.name] = _model(plan.name, "plan", window) | {"arms": list(plan.arms)}
    return found | {name: _model(name, "arm", window) for name, window in windows.items()}


def _listing(models: list[dict[str, Any]]) -> dict[str, Any]:
    """Returns them in the forms of OpenAI and of Anthropic at once."""
    first, last = models[0]["id"], models[-1]["id"]
    ends = {"has_more": False, "first_id": first, "last_id": last}
    return {"object": "list", "data": models} | ends


def _model(name: str, kind: str, window: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "type": "model",
        "display_name": name,
        "created": 0,
        "created_at": "1970-01-01T00:00:00Z",
        "owned_by": "adaptive-router",
        "kind": kind,
        "context_window": window,
    }
