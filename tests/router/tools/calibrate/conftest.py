"""Prompts, arms and a provider whose answers are scripted, behind real HTTP."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from demo.stack import free_port


@dataclass(slots=True)
class Upstream:
    """answer: (model, text of the last message) -> (status, text). asked: models.

    headers: of answers that are errors. counted: more of the usage.
    """

    answer: Callable[[str, str], tuple[int, str]] = lambda _model, _text: (200, "4")
    delay_s: float = 0.0
    port: int = 0
    input_tokens: int = 10
    output_tokens: int = 5
    headers: dict[str, str] = field(default_factory=dict)
    counted: dict[str, object] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    at_once: int = 0
    most_at_once: int = 0

    async def complete(self, request: Request) -> Response:
        body = await request.json()
        self.asked[body["model"]] += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.at_once -= 1
        status, text = self.answer(body["model"], body["messages"][-1]["content"])
        if status != 200:
            body = {"error": {"message": text}}
            return JSONResponse(body, status_code=status, headers=self.headers)
        message = {"role": "assistant", "content": text}
        usage = {"prompt_tokens": self.input_tokens, "completion_tokens": self.output_tokens}
        usage |= self.counted
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return JSONResponse(
            {"id": "x", "model": body["model"], "choices": [choice], "usage": usage}
        )

    async def verify(self, request: Request) -> Response:
        status, text = self.answer("verifier", json.dumps(await request.json()))
        self.asked["verifier"] += 1
        return Response(text, status_code=status, media_type="application/json")


@asynccontextmanager
async def serving(upstream: Upstream) -> AsyncIterator[None]:
    upstream.port = free_port()
    routes = [
        Route("/v1/chat/completions", upstream.complete, methods=["POST"]),
        Route("/verify", upstream.verify, methods=["POST"]),
    ]
    config = uvicorn.Config(
        Starlette(routes=routes), port=upstream.port, log_level="critical", lifespan="off"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())  # noqa: SLF001 - `serve` would take the signals
    while not server.started:
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        await task


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    made = Upstream()
    async with serving(made):
        yield made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Returns the path of a journal."""
    return tmp_path / "prompts.jsonl.calibration"
