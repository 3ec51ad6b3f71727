"""Defaults of a deployment's `BodyRules` by its host, in one table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from fnmatch import fnmatchcase
from typing import Any, Final
from urllib.parse import urlsplit

from router.domain.catalog import BodyRules, Deployment


@dataclass(frozen=True, slots=True)
class HostDefaults:
    """Rules of the hosts that match a pattern. path: a part that the base URL's path must have."""

    host: str
    rules: BodyRules
    provider: str = "openai"
    path: str = ""

    def fit(self, deployment: Deployment) -> bool:
        url = urlsplit(deployment.base_url)
        return (
            deployment.provider == self.provider
            and fnmatchcase(url.hostname or "", self.host)
            and self.path in url.path
        )


_AZURE = BodyRules(limit_field="max_completion_tokens", max_stops=4, key_header="api-key")
_MISTRAL = BodyRules(
    stream_usage=False,
    call_id_length=9,
    max_temperature=1.5,
    renamed=(("seed", "random_seed"),),
)
_ZHIPU = BodyRules(max_stops=1, max_temperature=1.0)
_MOONSHOT = BodyRules(max_stops=5, max_temperature=1.0, reasoned_calls=True)

HOSTS: Final = (
    # Temperatures above 1 are refused.
    HostDefaults("*", BodyRules(max_temperature=1.0), "anthropic"),
    # There are no stop sequences: answers are cut here.
    HostDefaults("*", BodyRules(max_stops=0), "responses"),
    # At most 5 stop sequences.
    HostDefaults("*", BodyRules(max_stops=5), "gemini"),
    # Reasoning models refuse max_tokens, all models take the newer name; at most 4 stop sequences.
    HostDefaults("*.openai.com", BodyRules(limit_field="max_completion_tokens", max_stops=4)),
    # As OpenAI's; keys go into a header of Azure's own.
    HostDefaults("*.openai.azure.com", _AZURE),
    HostDefaults("*.services.ai.azure.com", BodyRules(key_header="api-key")),
    HostDefaults("*.cognitiveservices.azure.com", _AZURE),
    # Paths with the deployment's name need the version of the API that v1 paths do without.
    HostDefaults(
        "*.azure.com", BodyRules(query="api-version=2024-10-21"), path="/openai/deployments/"
    ),
    # Fields it does not know are refused, stream_options among them: usage comes without; the seed
    # has another name; ids of calls are 9 letters and digits; temperatures end at 1.5.
    HostDefaults("*.mistral.ai", _MISTRAL),
    # A JSON Schema is refused, any JSON object is taken; at most 16 stop sequences; models that
    # think refuse calls without their reasoning, and take an empty one.
    HostDefaults("*.deepseek.com", BodyRules(max_stops=16, prompted="schema", reasoned_calls=True)),
    # At most 4 stop sequences.
    HostDefaults("*.groq.com", BodyRules(max_stops=4)),
    HostDefaults("*.cerebras.ai", BodyRules(max_stops=4)),
    HostDefaults("openrouter.ai", BodyRules(max_stops=4)),
    # User and assistant have to take turns after the system message.
    HostDefaults("api.perplexity.ai", BodyRules(alternate_roles=True)),
    # Temperatures end at 1; at most 5 stop sequences; calls need a reasoning as at DeepSeek's.
    HostDefaults("*.moonshot.ai", _MOONSHOT),
    HostDefaults("*.moonshot.cn", _MOONSHOT),
    # Temperatures end at 1; one stop sequence.
    HostDefaults("open.bigmodel.cn", _ZHIPU),
    HostDefaults("*.z.ai", _ZHIPU),
)
"""Later rows win. Only what the hosts' own documentation says; servers of one's own have no row."""


def resolved(deployment: Deployment) -> Deployment:
    """Returns the deployment with the defaults of its host where its config says nothing."""
    rules = BodyRules()
    for row in HOSTS:
        if row.fit(deployment):
            rules = over(rules, row.rules)
    return replace(deployment, rules=over(rules, deployment.rules))


def over(rules: BodyRules, own: BodyRules) -> BodyRules:
    """Returns rules with those of `own` that are set in place of theirs; both leave fields out."""
    omit = tuple(sorted({*rules.omit, *own.omit}))
    return replace(replace(rules, **dict(_set(own))), omit=omit)


def _set(rules: BodyRules) -> Iterator[tuple[str, Any]]:
    for each in fields(rules):
        value = getattr(rules, each.name)
        if value not in (None, (), ""):
            yield each.name, value
