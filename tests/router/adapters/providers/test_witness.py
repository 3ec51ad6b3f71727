"""What is said of a call that ended before any answer, and of bodies in whichever form."""

from __future__ import annotations

import errno
import socket
import ssl

import httpcore
import pytest

from router.adapters.providers.probing.body_forms import BodyForm, form_of
from router.adapters.providers.way_faults import ProxyRefused, WayFault, way_fault


def certificate(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "made up")
    error.verify_code = code
    return error


def chained(outer: BaseException, inner: BaseException) -> BaseException:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (socket.gaierror(-2, "Name or service not known"), WayFault.NAME),
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), WayFault.REFUSED),
        (OSError("Multiple exceptions: [Errno 111] Connect call failed"), WayFault.REFUSED),
        (OSError("Multiple exceptions: [Errno 101] Network is unreachable"), WayFault.NO_ROUTE),
        (OSError(errno.EHOSTUNREACH, "No route to host"), WayFault.NO_ROUTE),
        (ProxyRefused("the proxy refused"), WayFault.PROXY),
        (httpcore.ConnectTimeout(), WayFault.LATE),
        (certificate(10), WayFault.EXPIRED),
        (certificate(62), WayFault.OTHER_HOST),
        (certificate(19), WayFault.AUTHORITY),
        (chained(httpcore.ConnectError(), certificate(20)), WayFault.AUTHORITY),
        (chained(httpcore.ConnectError(), ConnectionRefusedError()), WayFault.REFUSED),
        (ConnectionResetError(), WayFault.CLOSED),
        (httpcore.ReadError(), WayFault.CLOSED),
        (httpcore.RemoteProtocolError("illegal status line"), WayFault.NO_HTTP),
        (httpcore.RemoteProtocolError("Server disconnected without a response"), WayFault.CLOSED),
        (OSError("something else"), None),
    ],
)
def test_where_a_call_ended(error: BaseException, fault: WayFault | None) -> None:
    assert way_fault(error) is fault


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b"", BodyForm.EMPTY),
        (b" \r\n", BodyForm.EMPTY),
        (b"\xef\xbb\xbf<!DOCTYPE html>", BodyForm.PAGE),
        (b"upstream connect error", BodyForm.TEXT),
        (b'{"choices": [', BodyForm.TEXT),
        (b"[1, 2]", BodyForm.JSON),
        (b"{}", BodyForm.JSON),
        (b'{"detail": "Not Found"}', BodyForm.JSON),
        (b'{"choices": []}', BodyForm.OPENAI),
        (b'data: {"choices": []}\n\n', BodyForm.OPENAI),
        (b'{"error": {"message": "m", "type": "t"}}', BodyForm.OPENAI),
        (b'{"type": "message", "content": []}', BodyForm.ANTHROPIC),
        (b'event: message_start\ndata: {"type": "message_start"}\n\n', BodyForm.ANTHROPIC),
        (b'{"type": "error", "error": {"type": "t", "message": "m"}}', BodyForm.ANTHROPIC),
        (b'{"candidates": []}', BodyForm.GEMINI),
        (b'[{"candidates": []}]', BodyForm.GEMINI),
        (b'{"error": {"code": 400, "status": "S", "message": "m"}}', BodyForm.GEMINI),
        (b'{"object": "response"}', BodyForm.RESPONSES),
        (b'{"response": "x", "done": true}', BodyForm.OLLAMA),
    ],
)
def test_the_form_of_a_body(head: bytes, form: BodyForm) -> None:
    assert form_of(head) is form
