"""`check-config --probe`: a call of every deployment, and what is wrong with those that fail."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final

from router.adapters.providers import ProxyRules
from router.adapters.providers.probing.diagnosis import Diagnosis, diagnosed, may_want_more
from router.adapters.providers.probing.witness import Witnessed, witnessing
from router.app.upstreams import provider_pool, providers_of
from router.config import Config
from router.config.base_urls import APPENDED_PATHS, url_doubts
from router.config.schema import DeploymentSection
from router.config.values import catalog_of
from router.domain import MS_PER_S
from router.domain.catalog import Deployment
from router.domain.chat import Answer, ChatRequest, Message, Role, Sampling, TextPart, Usage
from router.domain.errors import ProviderError, ProviderTimeout
from router.ports.upstream import Provider

PROBE_S: Final = 15.0
AT_ONCE: Final = 8
LIMITS: Final = (1, 16, 512)
"""Output tokens asked for. More only where less was refused, as reasoning models do."""
_CHAT: Final = ChatRequest((Message(Role.USER, (TextPart("Say ok."),)),))
_MODEL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._:/@+-]{0,99}")


@dataclass(frozen=True, slots=True)
class ProviderReport:
    """The outcome of one call. warning: something to know although it is served."""

    deployment: str
    text: str
    grave: bool = False
    warning: bool = False

    def __str__(self) -> str:
        kind = " error" if self.grave else " warning" if self.warning else ""
        return f"deployment{kind} {self.deployment}: {self.text}"


def probe_cost(config: Config) -> str:
    """Says what the probe will cost."""
    deployments = catalog_of(config).deployments()
    read = _CHAT.estimated_input_tokens
    least_usd = sum(d.price.cost_usd(Usage(read, LIMITS[0])) for d in deployments)
    most_usd = sum(d.price.most_usd(read, LIMITS[-1]) for d in deployments)
    called = "1 deployment" if len(deployments) == 1 else f"{len(deployments)} deployments"
    return (
        f"calling {called}, about {read} tokens read and {LIMITS[0]} "
        f"written each: ${least_usd:.6f} together (${most_usd:.6f} at most, where models take no "
        f"limit below {LIMITS[-1]})"
    )


async def probed(
    config: Config, env: Mapping[str, str], limit_s: float = PROBE_S
) -> AsyncIterator[ProviderReport]:
    """Yields a report of each deployment, in the order of the config."""
    proxies = ProxyRules.read(config.providers.proxy, env)
    sections = {d.name: d for arm in config.arms.values() for d in arm.deployments}
    places = asyncio.Semaphore(AT_ONCE)
    async with provider_pool(config, proxies, witnessed=True) as pool:
        providers = providers_of(config, env, pool)

        async def one(deployment: Deployment) -> ProviderReport:
            provider, section = providers[deployment.provider], sections[deployment.name]
            async with places:
                return await _Probe(deployment, section, provider, witnessing()).report(limit_s)

        tasks = [asyncio.create_task(one(d)) for d in catalog_of(config).deployments()]
        try:
            for task in tasks:
                yield await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True)
class _Probe:
    deployment: Deployment
    section: DeploymentSection
    provider: Provider
    seen: Witnessed

    async def report(self, limit_s: float) -> ProviderReport:
        began_s = time.monotonic()
        try:
            answer = await self._answer(began_s + limit_s)
        except ProviderError as error:
            return self._failed(error, limit_s)
        return self._served(answer, (time.monotonic() - began_s) * MS_PER_S)

    async def _answer(self, until_s: float) -> Answer:
        """Ask for more tokens where fewer are refused. Raises ProviderError."""
        limits = [t for t in LIMITS if t <= max(1, self.deployment.max_output_tokens)]
        for tokens in limits[:-1]:
            try:
                return await self._call(tokens, until_s)
            except ProviderError as error:
                if not may_want_more(error):
                    raise
        return await self._call(limits[-1], until_s)

    async def _call(self, tokens: int, until_s: float) -> Answer:
        """Call as a request does: whole, or as a stream where the deployment always streams."""
        chat = replace(_CHAT, sampling=Sampling(max_output_tokens=tokens))
        left_ms = max(1.0, (until_s - time.monotonic()) * MS_PER_S)
        timeout_ms = min(left_ms, self.deployment.timeout_ms)
        if not self.deployment.always_stream:
            return await self.provider.complete(self.deployment, chat, timeout_ms)
        async with aclosing(self.provider.stream(self.deployment, chat, timeout_ms)) as items:
            async for item in items:
                if isinstance(item, Answer):
                    return item
        raise ProviderTimeout("the stream ended without its answer")

    def _failed(self, error: ProviderError, limit_s: float) -> ProviderReport:
        found = diagnosed(self.deployment, self._key_place, self.seen, error)
        text = f"{found.text}{self._url_fix(found)}"
        if isinstance(error, ProviderTimeout) and error.status is None:
            text += f" (waited {min(limit_s, self.deployment.timeout_ms / MS_PER_S):g} s)"
        return ProviderReport(self.deployment.name, text, grave=found.grave, warning=True)

    @property
    def _key_place(self) -> str:
        return self.section.api_key_env or ("api_key_file" if self.section.api_key_file else "")

    def _url_fix(self, found: Diagnosis) -> str:
        if not found.url:
            return ""
        provider = self.deployment.provider
        fixes = list(url_doubts(provider, self.deployment.base_url))
        if not fixes and provider in APPENDED_PATHS:
            fixes = [f"{APPENDED_PATHS[provider]} is appended to it"]
        return "".join(f"; {fix}" for fix in fixes)

    def _served(self, answer: Answer, took_ms: float) -> ProviderReport:
        usage, model = answer.usage, answer.model
        served = model if _MODEL.fullmatch(model) else "a model of another name"
        cost_usd = self.deployment.price.cost_usd(usage)
        text = (
            f"{served} answers in {took_ms:.0f} ms, {usage.input_tokens} tokens read and "
            f"{usage.output_tokens} written (${cost_usd:.6f} at the prices of the config)"
        )
        if usage.guessed:
            text += "; it tells no usage, so costs are guessed"
        return ProviderReport(self.deployment.name, text, warning=usage.guessed)
