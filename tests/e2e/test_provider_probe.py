"""`check-config --probe`: every deployment is called once, over real connections."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trustme

from demo.stack import free_port
from router.app.provider_probe import ProviderReport, probe_cost, probed
from router.config import parse_config
from tests.contract.dialects import DIALECTS, Dialect
from tests.e2e.ledger import upstream
from tests.e2e.wire import Asked, Json, Reply, Wire, on_uvloop, raw, whole

KEY = "sk-made-up-key-of-a-test"
ENV = {"LLM_KEY": KEY}
SPOKEN = {spoken.name: spoken for spoken in DIALECTS}
PATIENCE_S = 20.0
PAGE = b"<!doctype html><html><body>Welcome to nginx</body></html>"
Answers = Callable[[Asked], Reply]
Case = tuple[str, Answers | Reply, str]


def good(provider: str) -> Reply:
    spoken = SPOKEN[provider]
    return whole(spoken.whole("ok", None, spoken.finishes["length"]))


def page(status: int) -> Reply:
    return whole(PAGE, status, kind="text/html")


def openai_error(status: int, message: str, code: str | None = None, **more: Json | str) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
    return whole({"error": error | more}, status)


def anthropic_error(status: int, kind: str, message: str) -> Reply:
    return whole({"type": "error", "error": {"type": kind, "message": message}}, status)


def gemini_error(status: int, name: str, message: str, reason: str = "") -> Reply:
    details = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason}]
    error = {"code": status, "status": name, "message": message, "details": details}
    return whole({"error": error}, status)


NO_KEY = "the key of LLM_KEY is not accepted"
NO_MODEL = "does not know the model"
NO_PATH = "does not know the path"
POOR = "no credit or quota left"
BUSY = "asks for a pause"

GRAVE: list[Case] = [
    ("openai", openai_error(401, "Incorrect API key: sk-made", "invalid_api_key"), NO_KEY),
    ("anthropic", anthropic_error(401, "authentication_error", "invalid x-api-key"), NO_KEY),
    (
        "gemini",
        gemini_error(400, "INVALID_ARGUMENT", "API key not valid.", "API_KEY_INVALID"),
        NO_KEY,
    ),
    ("openai", openai_error(403, "Project lacks access to `m`"), "may not do this"),
    ("openai", openai_error(404, "The model `m` does not exist", "model_not_found"), NO_MODEL),
    ("anthropic", anthropic_error(404, "not_found_error", "model: m"), NO_MODEL),
    ("gemini", gemini_error(404, "NOT_FOUND", "models/m is not found"), NO_MODEL),
    (
        "openai",
        whole({"error": {"code": "DeploymentNotFound", "message": "no such"}}, 404),
        NO_MODEL,
    ),
    ("openai", whole({"object": "error", "message": "no `m` here", "code": 404}, 404), NO_MODEL),
    ("openai", whole({"detail": "Not Found"}, 404), NO_PATH),
    ("openai", openai_error(404, "Invalid URL (POST /v1/v1/chat/completions)"), NO_PATH),
    ("openai", whole(b"404 page not found", 404, kind="text/plain"), NO_PATH),
    ("openai", whole({"error": "Unexpected endpoint or method. (POST /x)"}), NO_PATH),
    ("openai", whole({"detail": "Method Not Allowed"}, 405), NO_PATH),
    ("anthropic", anthropic_error(404, "not_found_error", "Not found"), NO_PATH),
    (
        "gemini",
        whole({"status": 404, "error": "Not Found", "path": "/v1/models/m:x"}, 404),
        NO_PATH,
    ),
    ("openai", page(200), "a web page answers"),
    ("anthropic", page(404), "a web page answers"),
    ("gemini", page(405), "a web page answers"),
    ("openai", page(403), "a firewall's page"),
    ("openai", page(502), "a gateway's page"),
    ("openai", whole(b"", 301, headers=(("location", "https://else/"),)), "redirects"),
    ("openai", whole(b"", 407), "the proxy wants a login"),
    ("openai", whole(b"", 200), "the answer is empty"),
    ("openai", whole(b"OK", 200, kind="text/plain"), "is no JSON"),
    ("openai", whole(b"HTTP request was sent to HTTPS port", 400), "write https://"),
    ("openai", whole({"object": "response", "output": []}), "write provider: responses"),
    ("openai", whole({"model": "m", "message": {}, "done": True}), "end base_url with /v1"),
    ("openai", Reply(silent=True), "closes the connection without an answer: try https://"),
    ("openai", openai_error(400, "Something else"), "refuses a plain request (400"),
    ("openai", openai_error(400, "Bad", "invalid_value", param="n"), "refuses a field"),
    ("openai", openai_error(500, "Oops", "server_error"), "has a fault"),
    *(
        (mine, good(other), f"in the protocol {other}: write provider: {other}")
        for mine in SPOKEN
        for other in SPOKEN
        if mine != other
    ),
]
PASSING: list[Case] = [
    ("openai", openai_error(429, "Rate limit", "rate_limit_exceeded"), BUSY),
    ("anthropic", anthropic_error(529, "overloaded_error", "Overloaded"), "try again later"),
    ("gemini", gemini_error(503, "UNAVAILABLE", "The model is overloaded."), "try again later"),
]


def config_of(urls: Sequence[tuple[str, str]], more: str = "", sections: str = "") -> str:
    """Returns a config of deployments d0, d1 ...: (provider, base URL)."""
    text = "arms:\n"
    for number, (provider, url) in enumerate(urls):
        if number % 16 == 0:
            text += f"  arm{number}:\n    deployments:\n"
        text += (
            f"      - {{name: d{number}, provider: {provider}, model: m, base_url: '{url}',"
            f" api_key_env: LLM_KEY, price: {{input_usd_per_mtok: 1, output_usd_per_mtok: 10}}"
            f"{more}}}\n"
        )
    return text + sections


async def reports(
    text: str, env: Mapping[str, str] = ENV, limit_s: float = PATIENCE_S
) -> list[ProviderReport]:
    config = parse_config(text, "router.yaml", env)
    found = [report async for report in probed(config, env, limit_s)]
    said = "\n".join(map(str, found))
    assert KEY not in said
    assert "Say ok" not in said
    return found


async def asked_of(
    cases: Sequence[Case], limit_s: float
) -> tuple[list[ProviderReport], list[Wire]]:
    async with AsyncExitStack() as stack:
        wires = []
        for provider, reply, _ in cases:
            answers = reply if callable(reply) else lambda _, reply=reply: reply
            wires.append(await stack.enter_async_context(upstream(Wire(answers, provider))))
        urls = [(wire.provider, wire.base_url) for wire in wires]
        return await reports(config_of(urls), limit_s=limit_s), wires


@on_uvloop
async def test_what_is_wrong_with_a_deployment_is_said() -> None:
    found, wires = await asked_of(GRAVE, limit_s=PATIENCE_S)
    for (provider, _, words), report in zip(GRAVE, found, strict=True):
        assert words in report.text, (provider, words, report.text)
        assert report.grave
    assert [report.deployment for report in found] == [f"d{n}" for n in range(len(GRAVE))]
    # Where a plain request is refused, more tokens are asked for: one may have been too few.
    often = [words for (_, _, words), w in zip(GRAVE, wires, strict=True) if len(w.asked) == 3]
    assert often == ["write https://", "refuses a plain request (400", "refuses a field"]
    assert sum(len(wire.asked) for wire in wires) == len(GRAVE) + 6


@on_uvloop
async def test_what_passes_by_itself_is_not_grave() -> None:
    found, _ = await asked_of(PASSING, limit_s=PATIENCE_S)
    for (provider, _, words), report in zip(PASSING, found, strict=True):
        assert words in report.text, (provider, words, report.text)
        assert not report.grave
        assert str(report).startswith("deployment warning d")


@pytest.mark.parametrize("spoken", DIALECTS, ids=lambda spoken: spoken.name)
@pytest.mark.parametrize("streams", [False, True], ids=["whole", "always_stream"])
@on_uvloop
async def test_a_good_deployment_names_its_model_and_its_pace(
    spoken: Dialect, *, streams: bool
) -> None:
    def answers(asked: Asked) -> Reply:
        finish = spoken.finishes["length"]
        if not asked.streams:
            return good(spoken.name)
        data = b"".join(
            b"data: %s\n\n" % whole(p).pieces[0] for p in spoken.pieces(["ok"], None, finish)
        )
        return raw(data + spoken.end_mark)

    async with upstream(Wire(answers, spoken.name)) as wire:
        more = f", always_stream: {str(streams).lower()}"
        (report,) = await reports(config_of([(spoken.name, wire.base_url)], more))
    assert not report.grave
    assert str(report).startswith("deployment d0: served answers in ")
    assert "11 tokens read and 7 written ($0.000081" in report.text
    (asked,) = wire.asked
    assert asked.streams is streams
    assert asked.headers[spoken.key_header].endswith(KEY)


@on_uvloop
async def test_a_model_that_takes_no_limit_of_one_token_is_asked_for_more() -> None:
    def answers(asked: Asked) -> Reply:
        if asked.body["max_tokens"] < 512:
            return openai_error(400, "Could not finish the message: output limit was reached")
        return good("openai")

    async with upstream(Wire(answers)) as wire:
        (report,) = await reports(config_of([("openai", wire.base_url)]))
    assert not report.grave
    assert [asked.body["max_tokens"] for asked in wire.asked] == [1, 16, 512]


@on_uvloop
async def test_a_field_that_a_model_refuses_is_learned_as_requests_learn_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answers(asked: Asked) -> Reply:
        if "max_tokens" in asked.body:
            message = "Use 'max_completion_tokens' instead."
            return openai_error(400, message, "unsupported_parameter", param="max_tokens")
        return good("openai")

    async with upstream(Wire(answers)) as wire:
        (report,) = await reports(config_of([("openai", wire.base_url)]))
    assert not report.grave
    assert len(wire.asked) == 2
    assert "limit_field: max_completion_tokens" in caplog.text


@on_uvloop
async def test_an_answer_without_usage_and_a_name_that_is_no_name_are_told() -> None:
    body = SPOKEN["openai"].whole("ok", None, "stop") | {"model": "a\nb", "usage": None}
    async with upstream(Wire(lambda _: whole(body))) as wire:
        (report,) = await reports(config_of([("openai", wire.base_url)]))
    assert str(report).startswith("deployment warning d0: a model of another name answers")
    assert "costs are guessed" in report.text


@on_uvloop
async def test_one_that_hangs_keeps_no_other_waiting() -> None:
    hangs: Case = ("openai", raw(b" ", 60.0), "")
    serves: Case = ("openai", good("openai"), "")
    began_s = time.monotonic()
    found, _ = await asked_of([hangs, *[serves] * 12, hangs], limit_s=4.0)
    assert [report.grave for report in found] == [True, *[False] * 12, True]
    assert found[0].text.startswith("no answer in time")
    assert "(waited 4 s)" in found[0].text
    assert time.monotonic() - began_s < 30.0


@asynccontextmanager
async def tls_server(name: str, authority: trustme.CA, reply: Reply) -> AsyncIterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    wire = Wire(lambda _: reply)
    server = await asyncio.start_server(wire.serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("http2", ["no", "yes"], ids=["http1", "http2"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_what_is_wrong_on_the_way(loop: str, http2: str, tmp_path: Path) -> None:
    async def run() -> None:
        known, unknown = trustme.CA(), trustme.CA()
        known.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        reply = good("openai")
        async with (
            tls_server("localhost", known, reply) as ours,
            tls_server("localhost", unknown, reply) as others,
            tls_server("elsewhere.example", known, reply) as elsewhere,
            garbling() as garbled,
        ):
            expected = {
                f"https://localhost:{ours}/v1": "served answers",
                f"https://localhost:{others}/v1": "an authority that is not trusted",
                f"https://localhost:{elsewhere}/v1": "is of another host",
                f"https://127.0.0.1:{garbled}/v1": "speaks no TLS there: write http://",
                f"http://127.0.0.1:{garbled}/v1": "does not speak HTTP there",
                f"http://127.0.0.1:{ours}/v1": "try https://",
                f"http://127.0.0.1:{free_port()}/v1": "nothing listens at 127.0.0.1:",
                f"http://localhost:{free_port()}/v1": "nothing listens at localhost:",
            }
            ca_file = f"ca_file: {tmp_path}/ca.pem"
            sections = f"providers: {{{ca_file}, proxy: none, http2: {http2}}}\n"
            text = config_of([("openai", url) for url in expected], sections=sections)
            found = await reports(text)
        for words, report in zip(expected.values(), found, strict=True):
            assert words in report.text, (words, report.text)
        assert [report.grave for report in found] == [False, *[True] * (len(expected) - 1)]

    asyncio.run(run()) if loop == "asyncio" else on_uvloop(run)()


@asynccontextmanager
async def garbling() -> AsyncIterator[int]:
    """A server that answers whatever comes with something that is neither HTTP nor TLS."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(10)
        writer.write(b"220 mail.example ESMTP ready\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


@on_uvloop
async def test_a_proxy_that_refuses_is_named() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy:
        port = proxy.sockets[0].getsockname()[1]
        text = config_of([("openai", "https://api.openai.com/v1")])
        (report,) = await reports(text, ENV | {"HTTPS_PROXY": f"http://127.0.0.1:{port}"})
    assert "the proxy refuses a way to api.openai.com" in report.text


@on_uvloop
async def test_a_path_in_doubt_is_told_with_its_fix() -> None:
    async with upstream(Wire(lambda _: whole({"detail": "Not Found"}, 404))) as wire:
        base = f"http://127.0.0.1:{wire.port}"
        urls = [
            ("openai", base),
            ("openai", f"{base}/v1/chat/completions"),
            ("anthropic", f"{base}/v1"),
            ("gemini", f"{base}/v1beta"),
            ("openai", f"{base}/v1"),
        ]
        found = await reports(config_of(urls))
    fixes = ["such as /v1", "before /chat/completions", "leave out the version"]
    for words, report in zip([*fixes, fixes[-1], "is appended to it"], found, strict=True):
        assert NO_PATH in report.text
        assert words in report.text


@on_uvloop
async def test_a_server_that_wants_a_key_and_gets_none() -> None:
    reply = openai_error(401, "You didn't provide an API key")
    async with upstream(Wire(lambda _: reply)) as wire:
        text = config_of([("openai", wire.base_url)]).replace(" api_key_env: LLM_KEY,", "")
        (report,) = await reports(text)
    assert "wants a key: name its variable in api_key_env" in report.text


def test_its_cost_is_said_before() -> None:
    text = config_of([("openai", "http://127.0.0.1:9/v1")] * 2)
    said = probe_cost(parse_config(text, "router.yaml", ENV))
    assert said.startswith(
        "calling 2 deployments, about 7 tokens read and 1 written each: $0.00003"
    )


async def ran(path: Path, *words: str) -> tuple[int, str, str]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "router", "check-config", str(path), *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | ENV | {"NO_PROXY": "*"},
    )
    out, err = await asyncio.wait_for(child.communicate(), 60)
    return child.returncode or 0, out.decode(), err.decode()


@on_uvloop
async def test_the_command_says_all_and_its_status_tells(tmp_path: Path) -> None:
    path = tmp_path / "router.yaml"
    async with (
        upstream(Wire(lambda _: good("openai"))) as fit,
        upstream(Wire(lambda _: openai_error(401, "no", "invalid_api_key"))) as unfit,
    ):
        path.write_text(config_of([("openai", fit.base_url)]))
        status, out, err = await ran(path, "--probe")
        assert (status, err) == (0, "")
        *_, formed, store, cost, served = out.splitlines()
        assert formed.endswith("well-formed")
        assert store == "store: a private server, which `serve` starts"
        assert cost.startswith("calling 1 deployment,")
        assert served.startswith("deployment d0: served answers in ")
        path.write_text(config_of([("openai", fit.base_url), ("openai", unfit.base_url)]))
        status, out, err = await ran(path, "--only", "deployments")
        assert status == 1
        assert err.startswith(f"deployment error d1: {NO_KEY}: set one")
        assert "store:" not in out
        assert "deployment d0: served answers in " in out
