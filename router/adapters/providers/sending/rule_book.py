"""The form of requests that each deployment takes, as far as it is known or was learned."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from typing import Any, Final

from router.adapters.providers.sending.hosts import over, resolved
from router.domain.catalog import LIMIT_FIELDS, BodyRules, Deployment
from router.domain.chat import ChatRequest, Format
from router.domain.errors import ProviderRefusedRequest

_log = logging.getLogger(__name__)
_CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])")
DROPPED: Final = frozenset(
    {
        *("temperature", "top_p", "seed", "random_seed", "logprobs", "top_logprobs", "top_k"),
        *("presence_penalty", "frequency_penalty", "logit_bias", "prediction", "verbosity"),
        *("reasoning_effort", "thinking", "thinking_config", "effort"),
        *("parallel_tool_calls", "disable_parallel_tool_use"),
        *("user", "metadata", "store", "service_tier", "safety_identifier"),
        *("prompt_cache_key", "prompt_cache_retention"),
    }
)
"""Fields without which the answer is another draw of the same model to the same question."""
STOPS: Final = frozenset({"stop", "stop_sequences"})
CACHE_CONTROL: Final = "cache_control"
CACHE_TTL: Final = f"{CACHE_CONTROL}.ttl"
FORMATS: Final = frozenset({"response_format", "json_schema", "response_json_schema"})

Body = Mapping[str, Any]


class RuleBook(dict[Deployment, Deployment]):
    """Deployment of a config -> the same with all rules that are known for it.

    It lives as long as the providers of a config, and holds one entry for each deployment.
    """

    def __init__(self) -> None:
        super().__init__()
        self._configured: dict[str, Deployment] = {}
        self._told: set[tuple[str, BodyRules]] = set()

    def __missing__(self, deployment: Deployment) -> Deployment:
        self[deployment] = known = resolved(deployment)
        self._configured[known.name] = deployment
        return known

    def teaches(
        self, sent_by: Deployment, chat: ChatRequest, body: Body, refusal: ProviderRefusedRequest
    ) -> bool:
        """True if a refusal names what can be sent another way."""
        return refusal.unsupported and lesson_of(sent_by, chat, body, refusal) is not None

    def learn(
        self, sent_by: Deployment, chat: ChatRequest, body: Body, refusal: ProviderRefusedRequest
    ) -> Deployment | None:
        """Returns the deployment by rules that a refused request did not keep, None for none.

        They are those of one more sending, until it shows that they help: what a refusal says may
        be an echo of its request.

        sent_by: as it was known when the body was written; another call may have learned since.
        """
        configured = self._configured.get(sent_by.name)
        if configured is None or not refusal.unsupported:
            return None
        known = self[configured]
        if known != sent_by:
            return known
        lesson = lesson_of(sent_by, chat, body, refusal)
        return None if lesson is None else replace(known, rules=over(known.rules, lesson))

    def keep(
        self, sent_by: Deployment, learned: Deployment, refusal: ProviderRefusedRequest
    ) -> None:
        """Write all further requests by these rules, for they have met the refusal.

        A refusal of one value, or of one request's fields together, says nothing of the others.
        """
        if not refusal.lasting:
            return
        lesson = _lesson_between(sent_by.rules, learned.rules)
        configured = self._configured[learned.name]
        known = self[configured]
        self[configured] = replace(known, rules=over(known.rules, lesson))
        if (learned.name, lesson) not in self._told:
            self._told.add((learned.name, lesson))
            _log.warning("a field is refused by %s: %s from here on", learned.name, _told(lesson))


def _lesson_between(before: BodyRules, after: BodyRules) -> BodyRules:
    names = [each.name for each in fields(after) if each.name != "omit"]
    changed = {n: getattr(after, n) for n in names if getattr(after, n) != getattr(before, n)}
    return BodyRules(omit=tuple(sorted({*after.omit} - {*before.omit})), **changed)


def _told(lesson: BodyRules) -> str:
    """Returns names and values as a config would set them; they are all of this module."""
    usual = BodyRules()
    every = ((each.name, getattr(lesson, each.name)) for each in fields(lesson))
    return ", ".join(f"{name}: {value}" for name, value in every if value != getattr(usual, name))


def lesson_of(
    deployment: Deployment, chat: ChatRequest, body: Body, refusal: ProviderRefusedRequest
) -> BodyRules | None:
    """Returns the rule that a refusal teaches, None where the request can't do without the field.

    What an operator has set among `parameters` is never left out.
    """
    for name in _names(refusal.parameter):
        if name in LIMIT_FIELDS and name in body:
            return BodyRules(limit_field=_other_limit(name, refusal.instead))
        if name == "stream_options" and name in body:
            return BodyRules(stream_usage=False)
        if name in STOPS and deployment.rules.max_stops != 0:
            return BodyRules(max_stops=0)
        if name in FORMATS and deployment.provider == "openai":
            return _format_lesson(deployment.rules, chat)
        path = _path(body, name) if name in DROPPED else ""
        if path and path not in _own_paths(deployment.rules):
            return BodyRules(omit=(path,))
    is_marked = deployment.prompt_caching or CACHE_CONTROL in chat.extras
    return _caching_lesson(deployment, refusal) if is_marked else None


def _caching_lesson(deployment: Deployment, refusal: ProviderRefusedRequest) -> BodyRules | None:
    """Marks are set in many places of a body: a rule takes them out of all."""
    names, omit = {*_names(refusal.parameter)}, deployment.rules.omit
    if CACHE_CONTROL not in names:
        return None
    path = CACHE_TTL if "ttl" in names and CACHE_TTL not in omit else CACHE_CONTROL
    return None if path in omit or CACHE_CONTROL in omit else BodyRules(omit=(path,))


def _names(parameter: str) -> Iterator[str]:
    """Yields the parts of a field's name in small letters: `generationConfig.topP` has `top_p`."""
    for part in re.split(r"[.\[\]]", parameter):
        yield snake(part)


def snake(name: str) -> str:
    return _CAPITAL.sub(r"_\1", name).lower()


def _other_limit(name: str, instead: str) -> str:
    return (
        instead
        if instead in LIMIT_FIELDS
        else next(other for other in LIMIT_FIELDS if other != name)
    )


def _format_lesson(rules: BodyRules, chat: ChatRequest) -> BodyRules | None:
    """The prompt asks for what the field may not: for a schema first, then for any JSON."""
    if chat.response_format.kind is Format.TEXT or rules.prompted == "json":
        return None
    is_schema = chat.response_format.kind is Format.JSON_SCHEMA and not rules.prompted
    return BodyRules(prompted="schema" if is_schema else "json")


def _path(body: Body, name: str) -> str:
    """Returns the dotted path of a field of this name, "" where there is none."""
    for key, value in body.items():
        if snake(key) == name:
            return key
        if isinstance(value, dict) and (inner := _path_within(value, name)):
            return f"{key}.{inner}"
    return ""


def _path_within(body: Body, name: str) -> str:
    return next((key for key in body if snake(key) == name), "")


def _own_paths(rules: BodyRules) -> set[str]:
    return {*_paths(json.loads(rules.parameters or "{}"))}


def _paths(parameters: Body) -> Iterator[str]:
    for key, value in parameters.items():
        yield key
        if isinstance(value, dict):
            yield from (f"{key}.{inner}" for inner in value)
