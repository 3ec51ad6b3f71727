"""Base URLs that are well-formed and probably wrong, by rules and by a table of known hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from router.domain.catalog import PROVIDERS

_Paths = Mapping[str, tuple[str, ...]]
"""Protocol -> patterns of the paths that a base URL may have; the first is a whole path."""

_AZURE: Final = ("/openai/v1", "/openai/deployments/[^/]+")
_VERTEX: Final = {
    "openai": (
        "/v1/projects/PROJECT/locations/LOCATION/endpoints/openapi",
        "/v1(beta1)?/projects/[^/]+/locations/[^/]+/endpoints/[^/]+",
    )
}
_KNOWN: Final[Mapping[str, _Paths]] = {
    "api.openai.com": {"openai": ("/v1",), "responses": ("/v1",)},
    "api.anthropic.com": {"anthropic": ("",), "openai": ("/v1",)},
    "generativelanguage.googleapis.com": {"gemini": ("",), "openai": ("/v1beta/openai",)},
    "aiplatform.googleapis.com": _VERTEX,
    "api.cerebras.ai": {"openai": ("/v1",)},
    "api.cohere.ai": {"openai": ("/compatibility/v1",)},
    "api.cohere.com": {"openai": ("/compatibility/v1",)},
    "api.deepinfra.com": {"openai": ("/v1/openai",)},
    "api.deepseek.com": {"openai": ("", "/v1", "/beta"), "anthropic": ("/anthropic",)},
    "api.fireworks.ai": {"openai": ("/inference/v1",), "anthropic": ("/inference",)},
    "api.groq.com": {"openai": ("/openai/v1",)},
    "api.mistral.ai": {"openai": ("/v1",)},
    "api.moonshot.ai": {"openai": ("/v1",), "anthropic": ("/anthropic",)},
    "api.moonshot.cn": {"openai": ("/v1",), "anthropic": ("/anthropic",)},
    "api.perplexity.ai": {"openai": ("", "/v1")},
    "api.sambanova.ai": {"openai": ("/v1",)},
    "api.together.xyz": {"openai": ("/v1",)},
    "api.x.ai": {"openai": ("/v1",)},
    "api.z.ai": {
        "openai": ("/api/paas/v4", "/api/coding/paas/v4"),
        "anthropic": ("/api/anthropic",),
    },
    "ark.cn-beijing.volces.com": {"openai": ("/api/v3", "/api/coding/v3")},
    "dashscope-intl.aliyuncs.com": {"openai": ("/compatible-mode/v1",)},
    "dashscope.aliyuncs.com": {"openai": ("/compatible-mode/v1",)},
    "integrate.api.nvidia.com": {"openai": ("/v1",)},
    "models.inference.ai.azure.com": {"openai": ("",)},
    "open.bigmodel.cn": {
        "openai": ("/api/paas/v4", "/api/coding/paas/v4"),
        "anthropic": ("/api/anthropic",),
    },
    "openrouter.ai": {"openai": ("/api/v1",), "anthropic": ("/api",)},
    "router.huggingface.co": {"openai": ("/v1",)},
}
_BY_SUFFIX: Final[Mapping[str, _Paths]] = {
    "-aiplatform.googleapis.com": _VERTEX,
    ".openai.azure.com": {"openai": _AZURE, "responses": _AZURE[:1]},
    ".cognitiveservices.azure.com": {"openai": _AZURE},
    ".services.ai.azure.com": {"openai": _AZURE, "anthropic": ("/anthropic",)},
}
_UNVERSIONED: Final = ("/serving-endpoints", "/inference", "/endpoints/openapi")
"""Ends of paths without a version that speak OpenAI's protocol: Databricks, GitHub, Vertex AI."""

_VERSION: Final = r"v\d+(?:(?:alpha|beta|p)\d*)?"
_HAS_VERSION: Final = re.compile(rf"/{_VERSION}(/|$)")
_ENDS_IN_VERSION: Final = re.compile(rf"/{_VERSION}$")
_DOUBLED: Final = re.compile(rf"/({_VERSION})/\1(/|$)")
_ENDPOINT: Final = re.compile(
    r"(/chat/completions|/completions|(?<=/v1)/chat|/messages|/responses|/embeddings|/api/(?:chat|generate)"
    r"|/models/[^/]+:(?:stream)?[gG]enerateContent|/models(?:/[^/]+)?)$"
)
APPENDED_PATHS: Final[Mapping[str, str]] = {
    "openai": "/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/MODEL:generateContent",
    "responses": "/responses",
}
"""Path that a protocol appends to a base URL; a protocol without an entry has no rules here."""

_INSIDE: Final = frozenset(
    {"corp", "example", "home", "internal", "intranet", "invalid", "lan"}
    | {"local", "localhost", "private", "svc", "test"}
)
"""Last labels of names that no public server has."""


def is_public(host: str) -> bool:
    """True for an address of the internet and for a name that may be one."""
    name = host.strip("[]").lower().rstrip(".")
    try:
        return ip_address(name).is_global
    except ValueError:
        labels = name.split(".")
        return len(labels) > 1 and labels[-1] not in _INSIDE


def url_doubts(provider: str, url: str) -> Iterator[str]:
    """Yields fixes for a base URL without query and fragment; none of them repeats it."""
    parts = urlsplit(url)
    if fix := _path_fix(provider, parts):
        yield fix
    if parts.username is not None:
        yield "leave out what stands before '@': it is not sent"
    if "%20" in parts.path:
        yield "leave out the space in the path"


def _path_fix(provider: str, parts: SplitResult) -> str:
    if provider not in APPENDED_PATHS:
        return ""
    path, host = parts.path.rstrip("/"), parts.hostname or ""
    known = _known(host)
    if provider in known:
        if any(re.fullmatch(pattern, path) for pattern in known[provider]):
            return ""
        return _written(host, provider, known[provider][0])
    if host in _companies() or known is _VERTEX:
        return f"this host speaks {' and '.join(known)}: write provider: {next(iter(known))}"
    return _by_rule(provider, path)


def _known(host: str) -> _Paths:
    suffix = next((s for s in _BY_SUFFIX if host.endswith(s)), "")
    return _KNOWN.get(host) or _BY_SUFFIX.get(suffix) or {}


def _written(host: str, provider: str, path: str) -> str:
    """The name of a resource is the operator's own: it is not repeated."""
    host = next((f"RESOURCE{s}" for s in _BY_SUFFIX if host.endswith(s)), host)
    return f"write https://{host}{path}: {APPENDED_PATHS[provider]} is appended to it"


def _companies() -> set[str]:
    """Hosts that speak no protocol but those known here."""
    return {urlsplit(url).hostname or "" for url in PROVIDERS.values()}


def _by_rule(provider: str, path: str) -> str:
    called = APPENDED_PATHS[provider]
    if _ENDPOINT.search(path):
        return f"write only what stands before {called}: that is appended to it"
    if "//" in path or _DOUBLED.search(path):
        return "write each part of the path once"
    if provider != "openai" and _ENDS_IN_VERSION.search(path):
        return f"leave out the version at its end: {called} is appended to it"
    if provider in ("openai", "responses") and not (
        _HAS_VERSION.search(path) or path.endswith(_UNVERSIONED)
    ):
        return (
            "add the version that most servers want at its end, such as /v1: "
            f"{called} is appended to it"
        )
    return ""
