"""Requests as coding agents write them: recorded shapes, and more of them by chance."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from router.adapters.providers.sending.conversations import JSON_WISH

Json = dict[str, Any]
FOLDER: Final = Path(__file__).parent / "shapes"
PATHS: Final = {"chat": "/v1/chat/completions", "messages": "/v1/messages"}
WORDS: Final = (
    "Mend",
    "it",
    "模式",
    "naïve",
    "“x”",
    "a\tb",
    "\\n",
    "1e5",
    "…",
    "</end>",
    "\U0001f600",
)


@dataclass(frozen=True, slots=True)
class Shape:
    """A request of one client. path, headers: as it was asked."""

    path: str
    body: Json
    headers: Json = field(default_factory=dict)

    @property
    def plain_path(self) -> str:
        return self.path.partition("?")[0]


def recorded(name: str) -> Shape:
    told = json.loads((FOLDER / f"{name}.json").read_text())
    return Shape(told["path"], told["body"], told["headers"])


def names(path: str) -> list[str]:
    """Returns the recorded shapes that ask this path."""
    every = sorted(file.stem for file in FOLDER.glob("*.json"))
    return [name for name in every if recorded(name).plain_path == path]


def exact(value: Any) -> str:
    """Returns a text that is the same for the same JSON alone: 1 is another number than 1.0."""
    return json.dumps(value, sort_keys=True)


def due(shape: Shape, got: Json) -> Json:
    """Returns what a provider of the same protocol is due: all but what docs/api.md lists.

    got: what it was sent, for the limit that stands where a caller set none.
    """
    body = copy.deepcopy(shape.body)
    limits = [body.pop(name, None) for name in ("max_completion_tokens", "max_tokens")]
    body |= {"model": "m", "max_tokens": limits[0] or limits[1] or got["max_tokens"]}
    options = body.pop("stream_options", None) or {}
    if not body.pop("stream", False):
        pass
    elif shape.plain_path == PATHS["chat"]:
        body |= {"stream": True, "stream_options": options | {"include_usage": True}}
    else:
        body["stream"] = True
    if "metadata" in body:
        kept = {n: v for n, v in body["metadata"].items() if not n.startswith("router_")}
        body = body | {"metadata": kept} if kept else without(body, "metadata")
    for message in body["messages"]:
        if message["role"] == "developer":
            message["role"] = "system"
    asks_json = (body.get("response_format") or {}).get("type") == "json_object"
    if asks_json and "json" not in json.dumps(body["messages"], ensure_ascii=False).lower():
        first = sum(message["role"] == "system" for message in body["messages"][:1])
        body["messages"].insert(first, {"role": "system", "content": JSON_WISH})
    return body


def without(body: Json, name: str) -> Json:
    return {each: value for each, value in body.items() if each != name}


class Dice:
    """Makes requests that their own provider would take, of every form that clients use."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        self._ids = 0

    def chat(self) -> Shape:
        draw, tools = self._draw, self._tools()
        body = self._options(
            temperature=draw.choice((0, 0.0, 1, 0.7)),
            top_p=draw.choice((1, 0.5)),
            seed=draw.randrange(-5, 1_000),
            stop=draw.choice(("END", ["END", "\n"], None, [])),
            n=1,
            max_tokens=draw.randrange(1, 4_000),
            max_completion_tokens=draw.randrange(1, 4_000),
            stream=draw.random() < 0.5,
            stream_options={"include_usage": draw.random() < 0.5},
            reasoning_effort="low",
            logit_bias={"11": -3, "12": 1.5},
            logprobs=True,
            parallel_tool_calls=False,
            response_format=draw.choice(
                (
                    {"type": "text"},
                    {"type": "json_object"},
                    {
                        "type": "json_schema",
                        "json_schema": {"name": "x", "schema": self._schema(1), "strict": False},
                    },
                )
            ),
            presence_penalty=0.5,
            user="u",
            store=False,
            metadata=draw.choice(
                ({"a": "b"}, {"a": "b", "router_task": "t"}, {"router_task": "t"})
            ),
        )
        if tools:
            body["tools"] = [{"type": "function", "function": tool} for tool in tools]
            body |= self._options(tool_choice=draw.choice(("auto", "none", "required")))
        told = [{"role": draw.choice(("system", "developer")), "content": self._content()}]
        body["messages"] = [
            *told[: draw.randrange(2)],
            *self._chat_turns([t["name"] for t in tools]),
        ]
        return Shape(PATHS["chat"], {"model": "a"} | self._more(body))

    def messages(self) -> Shape:
        draw, tools = self._draw, self._tools(schema="input_schema")
        body = self._options(
            temperature=draw.choice((0, 1, 0.25)),
            top_p=draw.choice((1, 0.5)),
            top_k=draw.randrange(1, 50),
            stop_sequences=["END"],
            stream=draw.random() < 0.5,
            system=draw.choice((self._words(), [self._block(), self._block()])),
            metadata=draw.choice(({"user_id": "u"}, {"user_id": "u", "router_task": "t"})),
            thinking=draw.choice(
                (
                    {"type": "enabled", "budget_tokens": 1_024},
                    {"type": "adaptive"},
                    {"type": "disabled"},
                )
            ),
            output_config=draw.choice(
                (
                    {"effort": "low"},
                    {"format": {"type": "json_schema", "schema": self._schema(1)}},
                )
            ),
            service_tier="auto",
        )
        if tools:
            body["tools"] = [tool | self._mark() for tool in tools]
            choices: list[Json] = [
                {"type": "auto", "disable_parallel_tool_use": True},
                {"type": "any"},
            ]
            body |= self._options(tool_choice=draw.choice(choices))
        body["messages"] = self._turns([t["name"] for t in tools])
        body["max_tokens"] = draw.randrange(2_000, 9_000)
        return Shape(PATHS["messages"], {"model": "a"} | self._more(body))

    def _chat_turns(self, tools: list[str]) -> list[Json]:
        turns = [self._user()]
        for _ in range(self._draw.randrange(4)):
            calls = [self._chat_call(tools) for _ in range(self._draw.randrange(3) if tools else 0)]
            said: Any = self._draw.choice((None, "", self._content())) if calls else self._content()
            answer = {"role": "assistant", "content": said} | self._options(refusal=None)
            turns.append(self._more(answer | ({"tool_calls": calls} if calls else {})))
            results = [{"role": "tool", "tool_call_id": call["id"]} for call in calls]
            turns += [self._more(each | {"content": self._content()}) for each in results]
            turns += [self._user()] if not calls or self._draw.random() < 0.5 else []
        return turns

    def _chat_call(self, tools: list[str]) -> Json:
        name, arguments = self._draw.choice(tools), json.dumps(self._object(), indent=1)
        called = {"name": name, "arguments": arguments}
        return self._more({"id": self._id(), "type": "function", "function": called})

    def _turns(self, tools: list[str]) -> list[Json]:
        turns = [self._more({"role": "user", "content": self._content()})]
        for _ in range(self._draw.randrange(4)):
            calls = [self._use(tools) for _ in range(self._draw.randrange(3) if tools else 0)]
            thoughts = [self._thought() for _ in range(self._draw.randrange(3))]
            said = [self._block()] if self._draw.random() < 0.7 or not calls else []
            turns.append({"role": "assistant", "content": [*thoughts, *said, *calls]})
            results = [self._result(call["id"]) for call in calls]
            asked = [self._block()] if not calls or self._draw.random() < 0.5 else []
            turns.append({"role": "user", "content": [*results, *asked]})
        return turns

    def _thought(self) -> Json:
        if self._draw.random() < 0.3:
            return {"type": "redacted_thinking", "data": self._words()}
        return {"type": "thinking", "thinking": self._words(), "signature": "Eq+/=" * 9}

    def _use(self, tools: list[str]) -> Json:
        use = {"type": "tool_use", "id": self._id(), "name": self._draw.choice(tools)}
        return use | {"input": self._object()} | self._mark()

    def _result(self, call: str) -> Json:
        picture = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
        shown = {"type": "image", "source": picture}
        content: Any = self._draw.choice((self._words(), [self._block(), shown], [self._block()]))
        told = {"type": "tool_result", "tool_use_id": call, "content": content}
        return told | self._options(is_error=self._draw.random() < 0.5) | self._mark()

    def _user(self) -> Json:
        return self._more({"role": "user", "content": self._content()})

    def _content(self) -> Any:
        return self._draw.choice((self._words(), [self._block()], [self._block(), self._block()]))

    def _block(self) -> Json:
        return {"type": "text", "text": self._words()} | self._mark()

    def _mark(self) -> Json:
        marks: list[Json] = [{"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}]
        return {"cache_control": self._draw.choice(marks)} if self._draw.random() < 0.3 else {}

    def _tools(self, schema: str = "parameters") -> list[Json]:
        return [
            self._more({"name": f"tool_{i}", "description": self._words(), schema: self._schema(2)})
            for i in range(self._draw.randrange(4))
        ]

    def _schema(self, depth: int) -> Json:
        kinds: list[Json] = [{"type": "string"}, {"enum": [1, None, "x", 1.0]}, {"type": "number"}]
        inner = self._schema(depth - 1) if depth else self._draw.choice(kinds)
        items = {"type": "array", "items": inner, "maxItems": 3}
        return {
            "type": "object",
            "properties": {"a": inner, "b": items, "ü": {}},
            "required": ["a"],
        }

    def _options(self, **every: Any) -> Json:
        return {name: value for name, value in every.items() if self._draw.random() < 0.4}

    def _more(self, value: Json) -> Json:
        """Returns an object with fields that nobody knows, now and then."""
        if self._draw.random() < 0.7:
            return value
        return value | {f"x_{self._draw.randrange(9)}": self._draw.choice((1, 2.0, self._object()))}

    def _object(self) -> Json:
        values: list[Any] = [None, 1, 1.0, True, "", self._words(), [], {}, [1, {"k": [None]}]]
        return {self._words(): self._draw.choice(values) for _ in range(self._draw.randrange(4))}

    def _words(self) -> str:
        return " ".join(self._draw.choices(WORDS, k=self._draw.randrange(1, 6)))

    def _id(self) -> str:
        self._ids += 1
        return f"call_{self._ids}-{self._draw.randrange(99)}"
