"""Errors as both clients raise them, whatever grpcio and protobuf are installed.

Usage: ROUTER=127.0.0.1:8480 ROUTER_KEY=ar_... python refused.py
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

from adaptive_router_client import NEVER, AsyncClient, Client, Routing, errors

TARGET, KEY = os.environ["ROUTER"], os.environ["ROUTER_KEY"]
NOWHERE = "127.0.0.1:1"
Ask = Callable[[Any], Any]


def whole(client: Any) -> Any:
    return client.complete("hi")


def rated(client: Any) -> Any:
    return client.feedback("0" * 32, quality=1.0)


def wrong(client: Any) -> Any:
    return client.complete("hi", Routing(arm="none", max_cost_usd=-1.0))


CASES: tuple[tuple[str, str, Ask, type[errors.RouterError]], ...] = (
    (TARGET, "ar_wrong", whole, errors.Unauthenticated),
    (TARGET, KEY, wrong, errors.InvalidRequest),
    (TARGET, KEY, rated, errors.DecisionNotFound),
    (NOWHERE, KEY, whole, errors.Unreachable),
)


def checked(error: errors.RouterError, wanted: type[errors.RouterError]) -> None:
    assert type(error) is wanted, repr(error)
    assert error.reason == wanted.REASON
    assert bool(error.violations) is (wanted is errors.InvalidRequest)


def in_threads() -> None:
    for target, key, ask, wanted in CASES:
        with Client(target, key=key, retry=NEVER) as client:
            try:
                ask(client)
            except errors.RouterError as error:
                checked(error, wanted)
            else:
                raise AssertionError(wanted)
    with Client(TARGET, key="ar_wrong") as client, client.stream("hi") as stream:
        try:
            list(stream)
        except errors.Unauthenticated as error:
            checked(error, errors.Unauthenticated)


async def on_a_loop() -> None:
    for target, key, ask, wanted in CASES:
        async with AsyncClient(target, key=key, retry=NEVER) as client:
            try:
                await ask(client)
            except errors.RouterError as error:
                checked(error, wanted)
            else:
                raise AssertionError(wanted)
    async with AsyncClient(TARGET, key="ar_wrong") as client, client.stream("hi") as stream:
        try:
            async for _ in stream:
                pass
        except errors.Unauthenticated as error:
            checked(error, errors.Unauthenticated)


if __name__ == "__main__":
    in_threads()
    asyncio.run(on_a_loop())
    print("every error is of the tree")  # noqa: T201 - read by the test that runs it
