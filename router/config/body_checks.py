"""Finds mistakes in what a deployment adds to its requests, or leaves out of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from router.config.document import Path
from router.config.plain import listed, mapped
from router.config.secrets import VARIABLE
from router.domain.catalog import LIMIT_FIELDS

MAX_PARAMETER_CHARACTERS: Final = 8_192
MAX_HEADER_CHARACTERS: Final = 4_096
LIMITS: Final = frozenset({*LIMIT_FIELDS, "max_output_tokens"})
"""Fields that bound the cost of an answer."""
FILLED_FIELDS: Final = frozenset(
    {
        *("model", "messages", "contents", "input", "stream", "n"),
        *("system", "systemInstruction", "system_instruction"),
        *("tools", "tool_choice", "toolConfig", "tool_config", "functions", "function_call"),
        *("response_format", "stop", "stop_sequences", "fallbacks", "models"),
        *(
            f"{config}.{name}"
            for config in ("generationConfig", "generation_config")
            for name in (
                *("maxOutputTokens", "candidateCount", "stopSequences"),
                *("responseMimeType", "responseSchema", "responseJsonSchema"),
            )
        ),
    }
)
"""Fields that the router fills in: the request itself, and what its cost depends on."""
CONNECTION_HEADERS: Final = frozenset(
    {
        *("host", "content-length", "content-type", "content-encoding", "transfer-encoding"),
        *("connection", "keep-alive", "te", "trailer", "upgrade", "expect"),
        *("accept", "accept-encoding", "proxy-authorization", "proxy-connection"),
    }
)
"""Headers of the connection and of the body's form: the client sets them."""
KEY_HEADERS: Final = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key"})
OPENAI_ONLY: Final = ("limit_field", "stream_usage", "strict_schema", "alternate_roles")

Found = Iterator[tuple[Path, str]]


def check_body_rules(deployment: dict[str, Any], path: Path, env: Mapping[str, str]) -> Found:
    """(path, fix) of every mistake; values of a wrong type are left to the schema."""
    yield from _protocol(deployment, path)
    parameters = mapped(deployment.get("parameters"))
    added = {".".join(field) for field in _fields(parameters)}
    yield from _parameters(parameters, (*path, "parameters"))
    for index, name in enumerate(listed(deployment.get("omit"))):
        if name in LIMITS or _limits(str(name)):
            yield (*path, "omit", index), "keep it: the budget is held by it; see limit_field"
        elif name in FILLED_FIELDS and name not in ("stop", "stop_sequences"):
            yield (*path, "omit", index), "keep it: the request is not the same without it"
        elif name in ("stop", "stop_sequences"):
            yield (*path, "omit", index), "write max_stops: 0, and the router cuts answers itself"
        elif name in added:
            yield (*path, "omit", index), "write a field in omit or in parameters, not in both"
    yield from _headers(deployment, path, env)


def _limits(name: str) -> bool:
    return name.partition(".")[2] == "maxOutputTokens"


def _protocol(deployment: dict[str, Any], path: Path) -> Found:
    if deployment.get("provider") in ("anthropic", "gemini", "responses"):
        for key in OPENAI_ONLY:
            if deployment.get(key) not in (None, "auto"):
                yield (*path, key), "take it out: the protocol has one way, and it is used"


def _parameters(parameters: dict[str, Any], path: Path) -> Found:
    for field in _fields(parameters):
        if ".".join(field) in FILLED_FIELDS | LIMITS:
            yield (*path, *field), "take it out: the router fills it in from the request"
    try:
        size = len(json.dumps(parameters, allow_nan=False))
    except (TypeError, ValueError):
        yield path, "write values that JSON has: text, numbers, true, false, null, lists, keys"
        return
    if size > MAX_PARAMETER_CHARACTERS:
        yield path, f"write at most {MAX_PARAMETER_CHARACTERS} characters of JSON"


def _fields(parameters: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yields the paths of the two outer levels."""
    for name, value in parameters.items():
        yield (name,)
        yield from ((name, inner) for inner in mapped(value))


def _headers(deployment: dict[str, Any], path: Path, env: Mapping[str, str]) -> Found:
    has_key = bool(deployment.get("api_key_env") or deployment.get("api_key_file"))
    seen: set[str] = set()
    for name, variable in mapped(deployment.get("headers")).items():
        here, small = (*path, "headers", name), name.lower()
        if small in CONNECTION_HEADERS:
            yield here, "take it out: the router's client sets it"
        if small in KEY_HEADERS and has_key:
            yield here, "keep either this header or api_key_env and api_key_file"
        if small in seen:
            yield here, "write this header once"
        seen.add(small)
        if isinstance(variable, str):
            yield from _value(here, variable, env)


def _value(path: Path, variable: str, env: Mapping[str, str]) -> Found:
    # The name is only repeated where it can't be a secret written in the wrong place.
    if not VARIABLE.fullmatch(variable):
        yield path, "write the NAME of an environment variable (A-Z, 0-9, _) that holds the value"
    elif not env.get(variable):
        yield path, f"set the environment variable {variable}"
    elif not _goes_into_a_header(env[variable]):
        yield path, f"set {variable} to one line of printable ASCII, without spaces around it"


def _goes_into_a_header(value: str) -> bool:
    plain = value.isascii() and value.isprintable() and value == value.strip()
    return plain and len(value) <= MAX_HEADER_CHARACTERS
