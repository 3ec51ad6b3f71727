"""Decisions, outcomes and feedback over HTTP; the gRPC door tells the same of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from adaptive_router.v1 import router_pb2

from tests.e2e.conftest import KEY, Router
from tests.e2e.http_doors import QUESTION, door, says, url
from tests.e2e.wire import Wire, on_uvloop

GOOD: dict[str, Any] = {"model": "auto", "messages": QUESTION}


@pytest.fixture(autouse=True)
def _model(model_dir: Path) -> None:
    """The router finds it where it was fetched to."""


def caller(router: Router) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url(router), headers={"x-api-key": KEY}, timeout=60)


@on_uvloop
async def test_decide_report_and_explain(tmp_path: Path) -> None:
    wire = Wire(says())
    async with door(tmp_path, wire) as router, caller(router) as http:
        made = await http.post("/v1/decisions", json=GOOD)
        assert made.status_code == 201
        told = made.json()
        assert (told["arm"], told["deployment"], told["rungs"]) == ("a", "a0", ["a"])
        assert not wire.asked
        id_ = told["decision_id"]
        outcome = {"latency_ms": 5, "input_tokens": 10, "output_tokens": 100}
        reported = await http.post(f"/v1/decisions/{id_}/outcome", json=outcome)
        assert reported.json()["cost_usd"] == pytest.approx(0.00101)
        again = await http.post(f"/v1/decisions/{id_}/outcome", json=outcome)
        assert again.json()["already_recorded"]
        explained = (await http.get(f"/v1/decisions/{id_}")).json()
        assert explained["settled"]
        assert [plan["plan"] for plan in explained["plans"]] == ["a"]
        assert (await router.decision(id_)).settled


WRITTEN: dict[str, Callable[[str], str]] = {
    "in capitals": str.upper,
    "as databases do": lambda made: str(UUID(made)),
    "in both ways": lambda made: str(UUID(made)).upper(),
}


@pytest.mark.parametrize("door_", ["http", "grpc"])
@pytest.mark.parametrize("way", WRITTEN)
@on_uvloop
async def test_an_id_that_comes_back_in_another_form(tmp_path: Path, way: str, door_: str) -> None:
    outcome = {"latency_ms": 5, "input_tokens": 10, "output_tokens": 100}
    async with door(tmp_path, Wire(says())) as router, caller(router) as http:
        made = (await http.post("/v1/decisions", json=GOOD)).json()["decision_id"]
        told = WRITTEN[way](made)
        assert told != made
        if door_ == "http":
            got = [
                await http.get(f"/v1/decisions/{told}"),
                await http.post(f"/v1/decisions/{told}/outcome", json=outcome),
                await http.post("/v1/feedback", json={"decision_id": told, "quality": 0.25}),
            ]
            assert [each.status_code for each in got] == [200] * 3, [each.text for each in got]
            assert got[0].json()["decision_id"] == got[0].headers["x-router-decision-id"] == made
        else:
            assert (await router.decision(told)).receipt.decision_id == made
            reported = router_pb2.ReportOutcomeRequest(decision_id=told, **outcome)
            await router.stub.ReportOutcome(reported, metadata=router.metadata)
            await router.feedback(told, 0.25)
        found = await router.decision(made)
        assert (found.settled, found.feedback_quality) == (True, 0.25)


@on_uvloop
async def test_an_id_that_only_resembles_one_is_unknown(tmp_path: Path) -> None:
    """No decision under it can be on its way, so nobody is told to try again."""
    async with door(tmp_path, Wire(says())) as router, caller(router) as http:
        made = (await http.post("/v1/decisions", json=GOOD)).json()["decision_id"]
        for told in (f"{made[:-1]}g", made[:-1], f"{made}0"):
            got = await http.get(f"/v1/decisions/{told}")
            reason = got.headers["x-router-reason"]
            assert (got.status_code, reason) == (404, "DECISION_NOT_FOUND"), told


@on_uvloop
async def test_feedback_on_an_answer_and_on_a_session(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router, caller(router) as http:
        session = {"metadata": {"router_session": "s1"}}
        done = (await http.post("/v1/chat/completions", json=GOOD | session)).json()
        id_ = done["router"]["decision_id"]
        whole = await http.post("/v1/feedback", json={"session_id": "s1", "accepted": True})
        assert whole.json() == {"already_recorded": False, "decisions": 1}
        one = await http.post("/v1/feedback", json={"decision_id": id_, "quality": 0.25})
        assert one.status_code == 200
        assert (await router.decision(id_)).feedback_quality == 0.25
        other = await http.post("/v1/feedback", json={"decision_id": id_, "quality": 0.5})
        assert (other.status_code, other.headers["x-router-reason"]) == (409, "FEEDBACK_CONFLICT")


@on_uvloop
async def test_headers_are_the_same_words_as_bodies_and_grpc(tmp_path: Path) -> None:
    """Clients send UTF-8; a byte that is none stands for itself."""
    wire = Wire(says())
    async with door(tmp_path, wire) as router, caller(router) as http:
        for session in ("Zürich É", "ordinal"):
            told = {"x-router-session": session.encode(), "x-router-task": "É".encode()}
            key = {"idempotency-key": f"k {session}".encode()}
            for _ in range(2):
                done = await http.post("/v1/chat/completions", json=GOOD, headers=told | key)
                assert done.status_code == 200, done.text
            found = await http.post("/v1/feedback", json={"session_id": session, "accepted": True})
            assert found.json() == {"already_recorded": False, "decisions": 1}
        assert len(wire.asked) == 2
        odd = {"x-router-session": b"\xff", "idempotency-key": b"\xfc"}
        assert (await http.post("/v1/chat/completions", json=GOOD, headers=odd)).is_success


@pytest.mark.parametrize("told", [None, "", {}, ["s"], True, 7])
@on_uvloop
async def test_a_session_of_metadata_that_is_no_text(tmp_path: Path, told: object) -> None:
    """Anthropic's metadata may hold anything; what is null names no session."""
    named = {"metadata": {"router_session": told}, "max_tokens": 9}
    async with door(tmp_path, Wire(says())) as router, caller(router) as http:
        done = await http.post("/v1/messages", json=GOOD | named)
        assert done.status_code == (400 if isinstance(told, dict | list) else 200), done.text
        for name in ("None", str(told)):
            report = {"session_id": name, "accepted": True}
            found = (await http.post("/v1/feedback", json=report)).is_success
            assert found == (told in (True, 7) and name == str(told)), name


@on_uvloop
async def test_a_switch_that_is_neither_on_nor_off_is_refused(tmp_path: Path) -> None:
    asked = {"true": 200, "NO": 200, "0": 200, "on": 400, "nan": 400, "disabled": 400}
    async with door(tmp_path, Wire(says())) as router, caller(router) as http:
        for told, status in asked.items():
            headers = {"x-router-no-cache": told}
            got = await http.post("/v1/chat/completions", json=GOOD, headers=headers)
            assert got.status_code == status, told
        for number in ("nan", "-1", "1e999", "1_0", "0x1", "\uff11", "1.2.3", "."):
            cost = {"x-router-max-cost-usd": number.encode()}
            got = await http.post("/v1/chat/completions", json=GOOD, headers=cost)
            assert got.json()["error"]["param"] == "x-router-max-cost-usd", number


@on_uvloop
async def test_bad_reports(tmp_path: Path) -> None:
    asked: dict[str, tuple[str, Any, int, str | None]] = {
        "nothing told": ("/v1/feedback", {"decision_id": "x"}, 400, "quality"),
        "of nothing": ("/v1/feedback", {"quality": 1}, 400, "decision_id"),
        "too good": ("/v1/feedback", {"decision_id": "x", "quality": 2}, 400, "quality"),
        "unknown": ("/v1/feedback", {"decision_id": "x", "quality": 1}, 404, None),
        "misspelt": ("/v1/feedback", {"decision": "x"}, 400, "request"),
        "no outcome": ("/v1/decisions/x/outcome", {}, 400, "latency_ms"),
        "odd failure": ("/v1/decisions/x/outcome", {"failure": "bad"}, 400, "failure"),
        "of none": ("/v1/decisions/x/outcome", {"failure": "timeout"}, 404, None),
        "no chat": ("/v1/decisions", {"model": "auto"}, 400, "request"),
    }
    async with door(tmp_path, Wire(says())) as router, caller(router) as http:
        for name, (path, body, status, param) in asked.items():
            got = await http.post(path, json=body)
            assert (got.status_code, got.json()["error"]["param"]) == (status, param), name
        assert (await http.get("/v1/decisions/none")).status_code == 404
        assert (await http.get("/v1/decisions/a/b/c")).status_code == 404


@on_uvloop
async def test_a_decision_takes_no_idempotency_key_and_names_the_header(tmp_path: Path) -> None:
    async with door(tmp_path, Wire(says())) as router, caller(router) as http:
        key = {"idempotency-key": "k"}
        refused = await http.post("/v1/decisions", json=GOOD, headers=key)
    assert refused.status_code == 400
    assert refused.json()["error"]["param"] == "idempotency-key"
