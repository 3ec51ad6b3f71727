"""Refusals in the forms that providers and gateways write, and the errors they stand for."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from router.adapters.providers.failures import (
    ACCOUNT_PAUSE_MS,
    KEY_PAUSE_MS,
    pause_of_headers,
    told,
)
from router.domain import errors as e

Json = dict[str, Any]
KEY, CREDIT, MODEL = e.ProviderUnauthorized, e.ProviderOutOfCredit, e.ProviderNotFound
LONG, FLAGGED, REFUSED = (
    e.ProviderContextTooLong,
    e.ProviderContentRefused,
    e.ProviderRefusedRequest,
)
RATE, BUSY, LATE = e.ProviderRateLimited, e.ProviderUnavailable, e.ProviderTimeout
INVALID = "invalid_request_error"


def said(message: str, kind: str | None = INVALID, code: object = None) -> Json:
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def google(message: str, code: int, status: str, **detail: object) -> Json:
    details = [{"@type": "type.googleapis.com/google.rpc.Any", **detail}]
    return {"error": {"code": code, "message": message, "status": status, "details": details}}


TOLD: list[tuple[int | None, object, type[e.ProviderError], str]] = [
    # Accounts.
    (401, said("Incorrect API key provided: sk-a", code="invalid_api_key"), KEY, "invalid_api_key"),
    (400, google("API key not valid.", 400, "INVALID_ARGUMENT", reason="API_KEY_INVALID"), KEY,
     "API_KEY_INVALID"),
    (400, [google("Please pass a valid API key.", 400, "INVALID_ARGUMENT")], KEY,
     "INVALID_ARGUMENT"),
    (400, {"code": "Client specified an invalid argument",
           "error": "Incorrect API key provided: xx***."}, KEY, ""),
    (400, google("User location is not supported for the API use.", 400, "FAILED_PRECONDITION"),
     KEY, "FAILED_PRECONDITION"),
    (403, google("It has not been used in project 1 before.", 403, "PERMISSION_DENIED",
                 reason="SERVICE_DISABLED"), KEY, "PERMISSION_DENIED"),
    (403, "forbidden", KEY, ""),
    (400, {"type": "error", "error": {
        "type": INVALID, "message": "Your credit balance is too low to access the API."}},
     CREDIT, INVALID),
    (429, said("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
     CREDIT, "insufficient_quota"),
    (429, {"message": "You exceeded your current quota, please check your plan."}, CREDIT, ""),
    (429, google("Your prepayment credits are depleted.", 429, "RESOURCE_EXHAUSTED"), CREDIT,
     "RESOURCE_EXHAUSTED"),
    (402, {"error": {"code": 402, "message": "requires more credits"}}, CREDIT, "402"),
    (403, said("Insufficient balance", "billing_error"), CREDIT, "billing_error"),
    (400, {"code": "Arrearage", "message": "Access denied."}, CREDIT, "Arrearage"),
    (400, {"base_resp": {"status_code": 1008, "status_msg": "insufficient balance"}}, CREDIT,
     "1008"),
    (404, said("The model `m` does not exist", code="model_not_found"), MODEL, "model_not_found"),
    (400, said("Invalid model: m", "invalid_model", "1500"), MODEL, "invalid_model"),
    (400, said('model "m" not found, try pulling it first', "api_error"), MODEL, "api_error"),
    (403, {"code": "The caller does not have permission to execute the specified operation",
           "error": "Your team has used all available credits: please purchase more credits."},
     CREDIT, ""),
    (403, said("账户余额不足", None, "forbidden"), CREDIT, "forbidden"),
    (403, said("Access was terminated: violation of our policies", None, "access_terminated"),
     KEY, "access_terminated"),
    (400, said("Organization has been restricted.", code="organization_restricted"), KEY,
     "organization_restricted"),
    (404, said("The model gpt-image-1 does not exist", code="model_not_found"), MODEL,
     "model_not_found"),
    # Parts of a request that are denied or missing.
    (403, google("You do not have permission to access the File abc or it may not exist.", 403,
                 "PERMISSION_DENIED"), REFUSED, "PERMISSION_DENIED"),
    (400, said("401 Client Error: Unauthorized for url: https://x.example/a.png"), REFUSED,
     INVALID),
    (400, said("Tool get_weather does not exist"), REFUSED, INVALID),
    (403, {"code": "permission-denied", "error": "Content violates usage guidelines."}, FLAGGED,
     "permission-denied"),
    (400, said("<400> InternalError.Algo.InvalidParameter: Temperature should be in [0.0, 2.0)",
               code="invalid_parameter_error"), REFUSED, "invalid_parameter_error"),
    (500, said("the request exceeds the available context size", "server_error", 500), LONG,
     "server_error"),
    (429, {"type": "error", "error": {"type": "rate_limit_error", "message": "Number of request"
           " tokens has exceeded your per-minute rate limit. Please reduce the prompt length or"
           " the maximum tokens requested, or try again later."}}, RATE, "rate_limit_error"),
    (400, {"message": "The provided model identifier is invalid."}, MODEL, ""),
    (400, {"error": {"code": "1211", "message": "模型不存在"}}, MODEL, "1211"),
    (400, said("No models loaded. Please load a model."), MODEL, INVALID),
    (404, {"detail": "Not Found"}, MODEL, ""),
    (404, "<html>404</html>", MODEL, ""),
    (405, {"detail": "Method Not Allowed"}, MODEL, ""),
    (301, "", MODEL, ""),
    (400, "<html>The plain HTTP request was sent to HTTPS port</html>", MODEL, ""),
    (403, said("Project p does not have access to model m", code="model_not_found"), MODEL,
     "model_not_found"),
    # Requests.
    (400, said("maximum context length is 4096", code="context_length_exceeded"), LONG,
     "context_length_exceeded"),
    (400, said("prompt is too long: 210000 tokens > 200000 maximum"), LONG, INVALID),
    (400, google("The input token count (12) exceeds the maximum number of tokens allowed", 400,
                 "INVALID_ARGUMENT"), LONG, "INVALID_ARGUMENT"),
    (400, {"object": "error", "code": 400, "type": "BadRequestError", "message":
           "This model's maximum context length is 4096 tokens. You requested 5000."}, LONG,
     "BadRequestError"),
    (400, {"message": "Input is too long for requested model."}, LONG, ""),
    (400, said("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000"), LONG,
     INVALID),
    (413, said("Request too large, Limit 6000", "tokens", "rate_limit_exceeded"), LONG,
     "rate_limit_exceeded"),
    (429, said("Request too large for m on tokens per min (TPM)", "tokens", "rate_limit_exceeded"),
     LONG, "rate_limit_exceeded"),
    (500, said("x", None, "context_length_exceeded"), LONG, "context_length_exceeded"),
    (422, {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096", "error_type":
           "validation"}, LONG, "validation"),
    (400, {"error": {"code": "content_filter", "innererror": {
        "code": "ResponsibleAIPolicyViolation"}, "message": "filtered"}}, FLAGGED,
     "content_filter"),
    (400, said("Content Exists Risk"), FLAGGED, INVALID),
    (400, said("Your prompt was flagged as violating our usage policy.", code="invalid_prompt"),
     FLAGGED, "invalid_prompt"),
    (403, {"error": {"code": 403, "message": 'Your input was flagged for "violence".',
                     "metadata": {"reasons": ["violence"]}}}, FLAGGED, "403"),
    (400, {"code": "data_inspection_failed", "message": "inappropriate"}, FLAGGED,
     "data_inspection_failed"),
    (400, said("Invalid schema for response_format 'x'"), REFUSED, INVALID),
    (400, said("max_tokens is too large: 5. This model supports at most 4 completion tokens"),
     REFUSED, INVALID),
    (400, said("This model does not support image input"), REFUSED, INVALID),
    (404, {"error": {"message": "No endpoints found that support tool use.", "code": 404}}, REFUSED,
     "404"),
    (400, {"error": "gemma does not support tools"}, REFUSED, ""),
    (400, said("1 validation error: input_value='my api key is invalid, credit balance too low'"),
     REFUSED, INVALID),
    (422, {"detail": [{"loc": ["body", "x"], "msg": "bad", "type": "value_error", "input": {
        "code": "invalid_api_key"}}]}, REFUSED, "value_error"),
    # Load.
    (529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, BUSY,
     "overloaded_error"),
    (None, {"type": "overloaded_error", "message": "Overloaded"}, BUSY, "overloaded_error"),
    (None, {"code": 429, "message": "Rate limited"}, RATE, "429"),
    (None, {"code": 504, "message": "late"}, LATE, "504"),
    (None, {"code": 502, "message": "Provider returned error", "metadata": {
        "raw": '{"error": {"type": "overloaded"}}'}}, BUSY, "overloaded"),
    (None, {"message": "something"}, BUSY, ""),
    (None, {"type": INVALID, "message": "something"}, REFUSED, INVALID),
    (200, {"type": "rate_limit_error", "message": "x"}, RATE, "rate_limit_error"),
    (429, google("You exceeded your current quota, please check your plan and billing details.",
                 429, "RESOURCE_EXHAUSTED", retryDelay="34.07s"), RATE, "RESOURCE_EXHAUSTED"),
    (400, {"__type": "com.amazon.coral#ThrottlingException", "message": "Too many tokens"}, RATE,
     "ThrottlingException"),
    (503, google("The model is overloaded.", 503, "UNAVAILABLE"), BUSY, "UNAVAILABLE"),
    (409, None, BUSY, ""),
    (400, said("Failed to call a function.", code="tool_use_failed"), BUSY, "tool_use_failed"),
    (400, said("Failed to generate JSON.", code="json_validate_failed"), BUSY,
     "json_validate_failed"),
    (524, None, LATE, ""),
    (204, None, BUSY, ""),
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "error", "code"), TOLD, ids=range(len(TOLD)))
def test_a_refusal_is_read(
    status: int | None, body: object, error: type[e.ProviderError], code: str
) -> None:
    found = told(body, status)
    assert type(found) is error
    assert found.code == code
    assert (found.retry_after_ms is None) == (
        found.fault is not e.Fault.ACCOUNT and "retryDelay" not in str(body)
    )


UNSUPPORTED: list[tuple[object, str, str]] = [
    (said("Unsupported parameter: 'max_tokens' is not supported with this model. Use"
          " 'max_completion_tokens' instead.", code="unsupported_parameter"), "max_tokens",
     "max_completion_tokens"),
    (said("Unsupported value: 'temperature' does not support 0.2 with this model.",
          code="unsupported_value"), "temperature", ""),
    ("temperature does not support 0.2", "temperature", ""),
    (google("Invalid JSON payload received. Unknown name \"seed\" at 'generation_config'", 400,
            "INVALID_ARGUMENT"), "seed", ""),
    (said("stream_options: Extra inputs are not permitted"), "stream_options", ""),
    ({"message": "extra inputs are not permitted: stream_options"}, "stream_options", ""),
    (said("`temperature` and `top_p` cannot both be specified for this model."), "top_p", ""),
    (said("`temperature` is deprecated for this model."), "temperature", ""),
    (said("Unrecognized request argument supplied: top_k"), "top_k", ""),
    ({"error": "Argument not supported on this model: presencePenalty"}, "presencePenalty", ""),
    ({"error": "x does not support parameters: ['seed'], for model=y"}, "seed", ""),
    (said('json: unknown field "logprobs"'), "logprobs", ""),
    (said("got an unexpected keyword argument 'seed'"), "seed", ""),
    (said("Additional properties are not allowed ('seed' was unexpected)"), "seed", ""),
    (said("property 'messages.0.name' is unsupported"), "messages.0.name", ""),
    ({"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"],
                  "msg": "Extra inputs are not permitted", "input": {}}]}, "stream_options", ""),
    ({"object": "error", "message": {"detail": [
        {"type": "value_error.extra", "loc": ["body", "seed"], "msg": "extra fields"}]},
      "type": INVALID}, "seed", ""),
]  # fmt: skip


@pytest.mark.parametrize("body", UNSUPPORTED, ids=range(len(UNSUPPORTED)))
def test_the_field_that_is_not_taken_is_named(body: tuple[object, str, str]) -> None:
    error, parameter, instead = body
    for status in (400, 422):
        found = told(error, status)
        assert isinstance(found, e.ProviderRefusedRequest)
        assert (found.unsupported, found.parameter, found.instead) == (True, parameter, instead)


@pytest.mark.parametrize(
    ("message", "pause_ms"),
    [
        ("Please try again in 6m0.5s.", 360_500),
        ("Please try again in 20ms.", 20),
        ("Please retry in 34.07s.", 34_070),
        ("try again in 1h2m3s", 3_600_000),
        ("Try again later.", None),
    ],
)
def test_a_pause_in_words(message: str, pause_ms: int | None) -> None:
    found = told(said(message, "tokens", "rate_limit_exceeded"), 429)
    assert isinstance(found, RATE)
    assert found.retry_after_ms == pause_ms


def test_an_account_fault_pauses_for_more_than_a_second() -> None:
    for status, more_ms in ((402, 1_000), (404, 0)):
        assert told(None, status, more_ms).retry_after_ms == ACCOUNT_PAUSE_MS
    assert told(None, 401).retry_after_ms == KEY_PAUSE_MS
    assert told(None, 402, 90_000).retry_after_ms == 90_000


def test_a_firewalls_page_alone_shuts_no_deployment() -> None:
    error = told("<html>Attention Required!</html>", 403)
    assert (type(error), error.retry_after_ms) == (KEY, None)


def test_what_the_headers_say_counts_before_the_body() -> None:
    body = google("x", 429, "RESOURCE_EXHAUSTED", retryDelay="34s")
    assert told(body, 429, 7).retry_after_ms == 7
    assert told(body, 429).retry_after_ms == 34_000


def test_the_pause_in_milliseconds_is_read_first() -> None:
    headers = {b"retry-after-ms": "1500", b"retry-after": "7"}
    assert pause_of_headers(headers, 0) == 1_500
    assert pause_of_headers({**headers, b"retry-after-ms": "soon"}, 0) == 7_000
    assert pause_of_headers({}, 0) is None


SHAPES: list[object] = [
    None, [], {}, 5, True, 1.5, b"x", "", "x", [[]], {"error": None}, {"error": True},
    {"error": []}, {"error": {"code": {}, "type": [], "message": 7, "param": {}}}, {1: 2},
    {"error": "{" * 5_000}, "[" * 5_000, {"detail": [None, 5, {"loc": 7}]},
    {"code": float("nan")}, {"code": float("inf")}, {"code": 10**5_000},
    {"retryDelay": "99999999999999s"}, {"retryDelay": {"seconds": "x"}},
]  # fmt: skip


@pytest.mark.parametrize("status", [None, 200, 302, 400, 403, 404, 422, 429, 500, 599])
def test_any_shape_is_read(status: int | None) -> None:
    for shape in SHAPES:
        assert isinstance(told(shape, status), e.ProviderError)


def test_nothing_but_short_words_leaves_a_refusal() -> None:
    secret = "my secret prompt"
    body = said(secret, secret, secret) | {"param": secret, "code": "a" * 65}
    for status in (400, 401, 429, 500):
        error = told(body, status)
        assert (error.code, error.parameter) == ("", "")
        assert secret not in repr(error) + error.message


@pytest.mark.parametrize(
    "text", ["model " * 20_000, "`" * 50_000, "context " * 9_000, "a_b" * 30_000, "[" * 50_000]
)
def test_long_texts_are_read_in_little_time(text: str) -> None:
    nested: object = text
    for _ in range(500):
        nested = {"error": nested, "details": [nested, nested]} if nested == text else [nested]
    began_s = time.process_time()
    for shape in (text, said(text), nested, json.dumps(said(text))):
        told(shape, 400)
    assert time.process_time() - began_s < 1


def test_an_echo_is_looked_for_in_a_long_request_in_little_time() -> None:
    sent = json.dumps({"messages": [{"content": "unauthorized, no seed. " * 100_000}]}).encode()
    began_s = time.process_time()
    error = told(said("unauthorized no such model seed is unknown " * 100), 400, None, sent)
    assert isinstance(error, e.ProviderError)
    assert time.process_time() - began_s < 1
