"""Refusals of a provider as errors of the tree: its status speaks first, then its codes and words.

Nothing that a provider has written leaves this module but its code and the name of a field.
"""

from __future__ import annotations

import email.utils
import re
from collections.abc import Mapping
from datetime import UTC
from http import HTTPStatus
from typing import Final

from router.adapters.providers.failure_kinds import (
    ACCOUNT,
    LIMITS,
    FailureKind,
    is_affordable_for_less,
    is_one_request_too_large,
    is_out_of_credit,
    kind_of_codes,
    kind_of_message,
    only_denies,
    speaks_of_a_part,
)
from router.adapters.providers.failure_parameters import RefusedParameter, refused_parameter
from router.adapters.providers.failure_text import FailureText, harmless, read_failure
from router.domain.errors import (
    ProviderContentRefused,
    ProviderContextTooLong,
    ProviderError,
    ProviderMalformed,
    ProviderNotFound,
    ProviderOutOfCredit,
    ProviderRateLimited,
    ProviderRefusedRequest,
    ProviderTimeout,
    ProviderUnauthorized,
    ProviderUnavailable,
)

MAX_RETRY_AFTER_MS: Final = 3_600_000
ACCOUNT_PAUSE_MS: Final = 30_000
"""Pause of a deployment whose account has a fault: an operator has to mend it."""
KEY_PAUSE_MS: Final = 5_000
"""Pause after a key was refused: while keys are rotated that lasts a moment only."""

_CERTAIN: Final = {
    401: FailureKind.KEY,
    402: FailureKind.CREDIT,
    407: FailureKind.KEY,
    408: FailureKind.LATE,
    409: FailureKind.BUSY,
    413: FailureKind.CONTEXT,
    423: FailureKind.BUSY,
    424: FailureKind.BUSY,
    425: FailureKind.BUSY,
    451: FailureKind.CONTENT,
    498: FailureKind.BUSY,
    499: FailureKind.BUSY,
    504: FailureKind.LATE,
    524: FailureKind.LATE,
}
_MISSING: Final = (404, 405, 410)
_FORBIDDEN: Final = (*ACCOUNT, FailureKind.CONTENT, FailureKind.RATE, FailureKind.PARAMETER)
_ERRORS: Final[dict[FailureKind, tuple[type[ProviderError], str]]] = {
    FailureKind.KEY: (ProviderUnauthorized, "the provider does not accept the configured key"),
    FailureKind.CREDIT: (ProviderOutOfCredit, "the account at the provider has no credit left"),
    FailureKind.MODEL: (ProviderNotFound, "the provider does not know the model or the URL"),
    FailureKind.CONTEXT: (ProviderContextTooLong, "the request is too long for the model"),
    FailureKind.CONTENT: (ProviderContentRefused, "the provider's filter refused the request"),
    FailureKind.PARAMETER: (ProviderRefusedRequest, "the provider can't serve this request"),
    FailureKind.REQUEST: (ProviderRefusedRequest, "the provider can't serve this request"),
    FailureKind.RATE: (ProviderRateLimited, "the provider asks for a pause"),
    FailureKind.OUTPUT: (ProviderUnavailable, "the model wrote what its provider can't read"),
    FailureKind.LATE: (ProviderTimeout, "the provider ran out of time"),
    FailureKind.BUSY: (ProviderUnavailable, "the provider has a fault"),
}
_FIREWALL = re.compile(
    r"reject|block|denied|forbidden|firewall|security|attack|incident|captcha|support id|ray id",
    re.IGNORECASE,
)
_PAUSED: Final = (FailureKind.RATE, FailureKind.BUSY)
_WAIT = re.compile(
    r"(?:try|retry)(?: again)?(?: in| after) (?:(\d{1,3})h)?(?:(\d{1,4})m(?!s))?"
    r"(?:(\d{1,7}(?:\.\d{1,9})?) ?(ms|milliseconds|s\b|sec))?",
    re.IGNORECASE,
)


def told(
    error: object,
    status: int | None = None,
    retry_after_ms: int | None = None,
    sent: bytes = b"",
) -> ProviderError:
    """Returns the error that a provider tells.

    error: decoded JSON of the error or of a body around it, or a text; of any shape.

    status: of the HTTP answer; None for an error inside an answer that began well.

    retry_after_ms: what the headers say, None for nothing.

    sent: the body that was refused. Words of an error that stand in it may be an echo, and a
    caller's words must not speak for a deployment.
    """
    text = read_failure(error, sent)
    if status is None or status // 100 == 2:  # noqa: PLR2004 - told inside a good answer
        status = next((s for s in text.statuses if 400 <= s < 600), None)  # noqa: PLR2004
    elif not 300 <= status < 600:  # noqa: PLR2004
        return ProviderMalformed("the provider answered with an unexpected status", status=status)
    by_code, code = kind_of_codes(text)
    parameter = refused_parameter(text)
    pause_ms = text.retry_after_ms if retry_after_ms is None else retry_after_ms
    kind = _kind(status, by_code, text, parameter, pause_ms)
    is_of_one = is_affordable_for_less(text) or (
        text.is_page and (status == HTTPStatus.FORBIDDEN or is_firewall(error))
    )
    made, message = _ERRORS[kind]
    failure = made(
        message,
        status=status,
        code=_code(text, code),
        parameter=text.parameter or (parameter.name if parameter else ""),
        # It may concern this request alone; several in a row pause the deployment all the same.
        retry_after_ms=None if is_of_one else _pause_ms(kind, pause_ms, text),
    )
    if isinstance(failure, ProviderRefusedRequest) and kind is FailureKind.PARAMETER:
        failure.unsupported = True
        failure.parameter = parameter.name if parameter else failure.parameter
        failure.instead = parameter.instead if parameter else ""
        failure.lasting = parameter is None or parameter.lasting
    return failure


def is_firewall(page: object) -> bool:
    """True for a page that was shown in place of an answer because of what a request says."""
    return isinstance(page, str) and bool(_FIREWALL.search(page[:4_096]))


def _kind(
    status: int | None,
    by_code: FailureKind | None,
    text: FailureText,
    parameter: RefusedParameter | None,
    pause_ms: int | None,
) -> FailureKind:
    if status is not None and status < HTTPStatus.BAD_REQUEST:
        # The URL is wrong: following it would carry the key and the prompt somewhere else.
        return FailureKind.MODEL
    if status in _CERTAIN:
        return _certain(_CERTAIN[status], by_code)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return _limited(by_code, text, pause_ms)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR and kind_of_message(text) in LIMITS:
        return FailureKind.CONTEXT  # servers of one's own tell it so
    if status is not None and status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _faulty(by_code, pause_ms)
    return _refused(status, by_code, text, parameter)


def _refused(
    status: int | None,
    by_code: FailureKind | None,
    text: FailureText,
    parameter: RefusedParameter | None,
) -> FailureKind:
    if status is not None and by_code in (FailureKind.BUSY, FailureKind.LATE):
        by_code = FailureKind.REQUEST  # the status says that it is no fault of the provider
    if text.is_page and status == HTTPStatus.BAD_REQUEST:
        return FailureKind.MODEL  # such as plain HTTP at the port of HTTPS
    if by_code in ACCOUNT and speaks_of_a_part(text):
        return FailureKind.REQUEST
    is_vague = by_code in (None, FailureKind.REQUEST)
    words = kind_of_message(text) if is_vague else by_code
    if by_code is FailureKind.KEY and status == HTTPStatus.FORBIDDEN and only_denies(text):
        why = kind_of_message(text)
        words = why if why in (FailureKind.CREDIT, FailureKind.CONTENT) else by_code
    if status in _MISSING:
        return words if words in (*LIMITS, *ACCOUNT, FailureKind.REQUEST) else FailureKind.MODEL
    if is_vague and parameter is not None:
        return FailureKind.PARAMETER
    if status == HTTPStatus.FORBIDDEN and words not in _FORBIDDEN:
        return FailureKind.KEY
    # An unknown error inside an answer that began well is the provider's own.
    is_own = status is None and by_code is None
    return words or (FailureKind.BUSY if is_own else FailureKind.REQUEST)


def _certain(kind: FailureKind, by_code: FailureKind | None) -> FailureKind:
    if kind is FailureKind.KEY and by_code is FailureKind.CREDIT:
        return by_code
    return kind


def _limited(by_code: FailureKind | None, text: FailureText, pause_ms: int | None) -> FailureKind:
    """A limit of a minute passes; an account without money, and a request above it, do not."""
    if by_code in (FailureKind.CREDIT, *LIMITS):
        return by_code
    if is_one_request_too_large(text):
        return FailureKind.CONTEXT
    without_code = by_code is None and kind_of_message(text) is FailureKind.CREDIT
    if pause_ms is None and (without_code or is_out_of_credit(text)):
        return FailureKind.CREDIT
    return FailureKind.RATE


def _faulty(by_code: FailureKind | None, pause_ms: int | None) -> FailureKind:
    if by_code in (FailureKind.CREDIT, FailureKind.MODEL, *LIMITS):
        return by_code
    rated = by_code is FailureKind.RATE or pause_ms is not None
    return FailureKind.RATE if rated else FailureKind.BUSY


def _code(text: FailureText, telling: str) -> str:
    """Returns the code to show: the one that told, else the first that is more than a number."""
    harmless_ones = [code for code in (telling, *text.codes) if harmless(code)]
    words = [code for code in harmless_ones if not code.isdigit() and code != "error"]
    return next(iter((*words, *harmless_ones)), "")


def _pause_ms(kind: FailureKind, pause_ms: int | None, text: FailureText) -> int | None:
    if kind in ACCOUNT:
        least_ms = KEY_PAUSE_MS if kind is FailureKind.KEY else ACCOUNT_PAUSE_MS
        return max(least_ms, min(pause_ms or 0, MAX_RETRY_AFTER_MS))
    if kind not in _PAUSED:
        return None
    if pause_ms is None:
        pause_ms = _worded_pause_ms(text.message)
    return None if pause_ms is None else min(max(0, pause_ms), MAX_RETRY_AFTER_MS)


def _worded_pause_ms(message: str) -> int | None:
    """Returns the pause of "try again in 6m0s", "in 1.2s", "in 20ms"."""
    found = _WAIT.search(message)
    if found is None or not any(found.groups()):
        return None
    hours, minutes, number, unit = found.groups()
    seconds = float(number or 0) / (1_000 if (unit or "").startswith("m") else 1)
    return int((int(hours or 0) * 3_600 + int(minutes or 0) * 60 + seconds) * 1_000)


def pause_of_headers(headers: Mapping[bytes, str], now_s: float) -> int | None:
    """Returns what `retry-after-ms` or `retry-after` say, None for nothing.

    headers: by their names in lower case. now_s: seconds since the epoch, which a date is
    measured from.
    """
    for name, scale in ((b"retry-after-ms", 1.0), (b"retry-after", 1_000.0)):
        try:
            pause = _seconds(headers.get(name, ""), now_s) * scale
            return int(min(max(0.0, pause), MAX_RETRY_AFTER_MS))
        except (ValueError, TypeError, OverflowError):
            continue
    return None


def _seconds(value: str, now_s: float) -> float:
    """Seconds or an HTTP date (RFC 9110, 10.2.3). Raises for neither."""
    if value[:1].isdigit():
        return float(value)
    date = email.utils.parsedate_to_datetime(value)
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s
