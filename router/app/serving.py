"""From one reading of the config to what serves by it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from router.adapters.storage import Storage
from router.app.build import build_follower, decider_of
from router.app.examples import example_contexts
from router.app.learner_state_factory import LearnerStateFactory
from router.app.live_service import Front, Serving
from router.app.wiring import Seams, build_service
from router.config import Config
from router.config.values import catalog_of, context_map_of, keys_of
from router.gates.verifier_breaker import VerifierBreaker
from router.ports.observer import Observer
from router.ports.ports import Embedder, Provider
from router.runtime.background import Background


@dataclass(frozen=True, slots=True)
class Kit:
    """What stays when the config is read anew.

    env: where providers' keys are. providers: made from keys by deployment, over one client.
    """

    storage: Storage
    embedder: Embedder
    observer: Observer
    background: Background
    verifying: VerifierBreaker | None
    env: Mapping[str, str]
    providers: Callable[[Mapping[str, str]], Mapping[str, Provider]]


async def serving_by(config: Config, kit: Kit) -> Serving:
    """Raises ConfigInvalid where a key can't be read."""
    catalog = catalog_of(config)
    examples = await example_contexts(config, kit.embedder, context_map_of(config))
    # Requests are served meanwhile.
    brain = await asyncio.to_thread(LearnerStateFactory, config, catalog, examples)
    decider = decider_of(config, brain)
    seams = Seams(
        storage=kit.storage,
        embedder=kit.embedder,
        providers=kit.providers(keys_of(config, kit.env)),
        observer=kit.observer,
        background=kit.background,
        verifying=kit.verifying,
    )
    return Serving(
        service=build_service(config, catalog, seams, decider),
        follower=build_follower(brain, kit.storage, decider, kit.observer),
        deployments=catalog.names(),
    )


async def exchange(front: Front, config: Config, *, kit: Kit) -> None:
    """The new one learns what the old one knows before it takes over. Raises RouterError."""
    made = await serving_by(config, kit)
    await made.follower.step()
    await made.follower.check()
    front.now = made
