"""Finds what is well-formed in a config and probably not meant. No I/O."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from router.config.base_urls import is_public, url_doubts
from router.config.body_checks import OPENAI_ONLY
from router.config.document import Path
from router.config.schema import Config, DeploymentSection
from router.domain.catalog import LIMIT_FIELDS, PROVIDERS

Doubts: TypeAlias = Iterator[tuple[str, str]]
"""(key of a deployment, dotted; fix). A fix repeats no value: it may be a secret."""

LEAST_USD_PER_MTOK: Final = 0.004
"""Lowest price of any list: less is the price of one token, or of a thousand."""
MOST_USD_PER_MTOK: Final = 1_000.0
LEAST_USD_OF: Final = {
    "claude": 0.2,
    "gemini-": 0.03,
    "gpt-3.5": 0.04,
    "gpt-4": 0.04,
    "gpt-5": 0.04,
}
"""Part of a model's name to a price below the cheapest such model: less is per thousand tokens."""
LEAST_TIMEOUT_MS: Final = 1_000

_KEYS_OF: Final = {
    "sk-ant-": ("anthropic.com",),
    "sk-proj-": ("openai.com",),
    "sk-or-": ("openrouter.ai",),
    "AIza": ("googleapis.com",),
    "gsk_": ("groq.com",),
    "xai-": ("x.ai",),
    "pplx-": ("perplexity.ai",),
    "hf_": ("huggingface.co", "huggingface.cloud"),
    "nvapi-": ("nvidia.com",),
    "csk-": ("cerebras.ai",),
}
"""Beginnings of companies' keys, and the domains that take them."""
_COMPANIES: Final = frozenset(d for domains in _KEYS_OF.values() for d in domains) | {
    "deepseek.com",
    "mistral.ai",
    "together.xyz",
}
_UNFILLED: Final = re.compile(r"[$<{%]")
_PLACEHOLDER: Final = re.compile(
    r"(your|insert|enter)[-_.].*|.*[-_]here|(sk-)?(x{3,}|\.{3,}|\*{3,})"
    r"|change[-_]?me|todo|none|null|undefined|empty|dummy|placeholder|(api[-_]?)?key",
    re.IGNORECASE,
)
_PREFIXES: Final = {
    "api.openai.com": ("openai/",),
    "api.anthropic.com": ("anthropic/",),
    "generativelanguage.googleapis.com": ("google/", "gemini/"),
}
"""Prefixes of a model's name that gateways want, and its own company does not know."""

_CHANGES: Final = {"parameters", "headers", "omit", *OPENAI_ONLY}


def lint(config: Config, keys: Mapping[str, str]) -> Iterator[tuple[Path, str]]:
    """(path, fix) of every doubt. keys: deployment name -> API key, for those that have one."""
    seen: dict[tuple[str, ...], str] = {}
    for arm, section in config.arms.items():
        for index, deployment in enumerate(section.deployments):
            key = keys.get(deployment.name, "")
            for place, fix in deployment_doubts(deployment, key):
                yield ("arms", arm, "deployments", index, *place.split(".")), fix
            first = seen.setdefault(_called(deployment, key), deployment.name)
            if first != deployment.name:
                fix = f"it is {first} once more (URL, model and key): it adds no safety"
                yield ("arms", arm, "deployments", index, "model"), fix


def deployment_doubts(deployment: DeploymentSection, key: str) -> Doubts:
    """Yields doubts about one deployment. key: "" for none."""
    url = url_of(deployment)
    host = urlsplit(url).hostname or ""
    yield from (("base_url", fix) for fix in url_doubts(deployment.provider, url))
    yield from _key_doubts(deployment, key, url, host)
    yield from _model_doubts(deployment, host)
    yield from _price_doubts(deployment, host)
    yield from _cache_price_doubts(deployment)
    yield from _limit_doubts(deployment)


def url_of(deployment: DeploymentSection) -> str:
    return str(deployment.base_url or PROVIDERS[deployment.provider])


def _called(deployment: DeploymentSection, key: str) -> tuple[str, ...]:
    url = url_of(deployment).rstrip("/")
    # What changes the request may be meant as another choice.
    own = deployment.model_dump(include=_CHANGES)
    return (deployment.provider, url, deployment.model, key, repr(own))


def _key_doubts(deployment: DeploymentSection, key: str, url: str, host: str) -> Doubts:
    place = "api_key_file" if deployment.api_key_file else "api_key_env"
    public = is_public(host)
    if not key:
        if public and not deployment.headers:
            yield place, "name the variable that holds the key: public servers want one"
        return
    if public and url.startswith("http:"):
        yield "base_url", "write https://: the key and all prompts can be read on the way"
    if fix := _key_fix(key, host):
        yield place, fix


def _key_fix(key: str, host: str) -> str:
    if key.strip("\"'`") != key or key.endswith(("\\n", "\\r")):
        return "take quotes and line ends out of the key's value"
    if re.match(r"bearer\b", key, re.IGNORECASE):
        return "set the key alone, without Bearer"
    if re.match(r"(export\b|[A-Z][A-Z0-9_]*=)", key):
        return "set the key alone, without the variable's name"
    if _UNFILLED.match(key) or (is_public(host) and _PLACEHOLDER.fullmatch(key)):
        return "put the key there: its value is a placeholder"
    owner = next((ds for start, ds in _KEYS_OF.items() if key.startswith(start)), ())
    if owner and _within(host, _COMPANIES) and not _within(host, owner):
        return f"take another key: this one looks like one of {owner[0]}"
    return ""


def _within(host: str, domains: frozenset[str] | tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)


def _model_doubts(deployment: DeploymentSection, host: str) -> Doubts:
    model = deployment.model
    if any(c.isspace() for c in model):
        yield "model", "write the model's name without white space"
    if deployment.provider == "gemini" and model.startswith("models/"):
        yield "model", "leave out models/: it stands before the name in the path"
    for prefix in _PREFIXES.get(host, ()):
        if model.startswith(prefix):
            yield "model", f"leave out {prefix}: this host knows the name that follows it"
    if host == "openrouter.ai" and "/" not in model:
        yield "model", "write COMPANY/MODEL: this host knows no other names"


def _price_doubts(deployment: DeploymentSection, host: str) -> Doubts:
    read, written = (
        deployment.price.input_usd_per_mtok,
        deployment.price.output_usd_per_mtok,
    )
    name = deployment.model.lower()
    least = max([LEAST_USD_PER_MTOK, *(usd for part, usd in LEAST_USD_OF.items() if part in name)])
    for place, usd in (("input", read), ("output", written)):
        if 0 < usd < least:
            yield (
                f"price.{place}_usd_per_mtok",
                ("write USD per million tokens: this looks like the price of one or of a thousand"),
            )
        elif usd > MOST_USD_PER_MTOK:
            yield (
                f"price.{place}_usd_per_mtok",
                ("write USD (not cents) per million tokens: no model is as dear as that"),
            )
    if is_public(host) and not (read and written) and not name.endswith(":free"):
        yield "price", "write what the price list says: what costs nothing is preferred to all else"
    elif 0 < 2 * written <= read:
        yield "price.output_usd_per_mtok", "compare with the price list: output is never so cheap"


def _cache_price_doubts(deployment: DeploymentSection) -> Doubts:
    """Yields what no price list says; both rates may be left out."""
    price = deployment.price
    cached, written = price.cached_input_usd_per_mtok, price.cache_write_usd_per_mtok
    if cached is not None and cached > price.input_usd_per_mtok:
        yield (
            "price.cached_input_usd_per_mtok",
            "compare with the price list: cached input is never dearer than input",
        )
    if written is not None and written < price.input_usd_per_mtok:
        yield (
            "price.cache_write_usd_per_mtok",
            "compare with the price list: writing to the cache is never cheaper than input",
        )


def _limit_doubts(deployment: DeploymentSection) -> Doubts:
    if deployment.max_output_tokens == deployment.context_window_tokens:
        yield "max_output_tokens", "write less than context_window_tokens: a prompt needs room too"
    if deployment.limit_field not in (None, *LIMIT_FIELDS):
        yield "limit_field", f"write {' or '.join(LIMIT_FIELDS)}: other names may not bound answers"
    if deployment.timeout_ms < LEAST_TIMEOUT_MS:
        yield "timeout_ms", "write milliseconds: few models answer within a second"
