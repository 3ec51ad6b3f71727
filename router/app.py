"""The composition root: reads a config, builds every part, runs until told to stop."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bandit import ContextMap, Policy, PolicySettings, load_policy, make_policy
from router.adapters.embedding.files import model_dir
from router.adapters.embedding.pool import EmbedderPool
from router.adapters.providers import make_client, make_providers
from router.adapters.storage.storage import Storage, open_storage
from router.config import Config
from router.core.admission import Admission
from router.core.arms import Catalogue
from router.core.attempt import Caller
from router.core.background import Background
from router.core.cascade import Cascade
from router.core.closing import Closing, ClosingSettings
from router.core.deciding import Decider
from router.core.follower import Follower
from router.core.learner import Learner
from router.core.once import Once, OnceSettings
from router.core.pipeline import Parts, Pipeline
from router.core.ports import Embedder, Provider
from router.core.reask import ReaskWatch
from router.core.reporting import Reporting
from router.core.service import RouterService
from router.core.shelf import Shelf
from router.core.watch import Watch
from router.observe.metrics import Metrics
from router.rpc.health import HealthReporter
from router.rpc.server import make_server
