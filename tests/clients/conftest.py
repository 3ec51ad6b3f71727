"""The client's tests have the whole router of the end-to-end tests."""

from __future__ import annotations

from tests.e2e.conftest import (  # noqa: F401 - fixtures
    config,
    doors,
    images,
    learning,
    learns,
    plans,
    redis,
    router,
    sections,
)
