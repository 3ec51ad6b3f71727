"""Says what is wrong with a deployment, and what to change, by what one call brought back. Pure.

A diagnosis holds no key, no prompt and nothing that a provider wrote but its code and the name of
a field.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from router.adapters.providers.failure_text import read_failure
from router.adapters.providers.probing.body_forms import SPOKEN, BodyForm, decoded, form_of
from router.adapters.providers.probing.witness import Witnessed
from router.adapters.providers.way_faults import WayFault
from router.domain.catalog import Deployment
from router.domain.errors import (
    Fault,
    ProviderContentRefused,
    ProviderContextTooLong,
    ProviderDisconnected,
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


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """grave: nothing can be had of the deployment until somebody changes something.

    url: the path of the base URL is in question.
    """

    text: str
    grave: bool = True
    url: bool = False


_ON_THE_WAY: Final = {
    WayFault.NAME: "no such host {host}: correct base_url, or the DNS of this machine",
    WayFault.REFUSED: "nothing listens at {host}: correct base_url, or start the server",
    WayFault.NO_ROUTE: "no way leads to {host}: correct base_url, or the network of this machine",
    WayFault.PROXY: "the proxy refuses a way to {host}: correct providers.proxy, or list the host"
    " in NO_PROXY",
    WayFault.LATE: "no connection to {host} in time: correct scheme, host and port of base_url,"
    " or open the firewall",
    WayFault.NO_TLS: "{host} speaks no TLS there: write http:// or another port in base_url",
    WayFault.AUTHORITY: "the certificate of {host} is of an authority that is not trusted: name its"
    " PEM file in providers.ca_file",
    WayFault.OTHER_HOST: "the certificate of {host} is of another host: write the name it is for in"
    " base_url",
    WayFault.EXPIRED: "the certificate of {host} is out of date: renew it, or set the clock",
    WayFault.TLS: "no TLS connection to {host} comes about: correct the port of base_url, or the"
    " server's TLS",
    WayFault.NO_HTTP: "{host} does not speak HTTP there: correct scheme and port of base_url",
    WayFault.CLOSED: "{host} closes the connection without an answer: try {other} or another port"
    " in base_url",
}
_SPEAKS: Final = {
    BodyForm.OLLAMA: "the answer is one of Ollama's own API: end base_url with /v1",
    BodyForm.PAGE: "a web page answers: base_url is that of a site, not of an API",
    BodyForm.EMPTY: "the answer is empty: base_url leads to no API",
    BodyForm.TEXT: "the answer is no JSON: base_url leads to no API",
}
_NO_PATH: Final = "the server does not know the path: correct base_url"
_PATH_UNKNOWN: Final = re.compile(
    r"unexpected endpoint|invalid url|(unknown|no such) (url|path|endpoint)|no route|cannot post",
    re.IGNORECASE,
)
_PAUSES: Final = (HTTPStatus.SERVICE_UNAVAILABLE, 529)
"""Statuses of a provider that is overloaded: it may serve in a while."""


def diagnosed(deployment: Deployment, key: str, seen: Witnessed, error: ProviderError) -> Diagnosis:
    """Returns what a failed call shows. key: where the key comes from, "" where there is none."""
    host = _host(deployment)
    fault = seen.fault or (WayFault.LATE if _was_not_reached(seen, error) else None)
    if fault is not None:
        other = "http://" if deployment.base_url.startswith("https:") else "https://"
        return Diagnosis(_ON_THE_WAY[fault].format(host=host, other=other))
    form = _form(seen)
    found = _by_status(seen, form) or _by_error(deployment, key, seen, error)
    told = f"{found.text}{_told(seen, error)}"
    if found.grave and _is_foreign(deployment, error, form):
        told += f"; its answer is in the protocol {form.value}: write provider: {form.value}"
        return Diagnosis(told, found.grave)
    return Diagnosis(told, found.grave, found.url)


def _form(seen: Witnessed) -> BodyForm:
    form = form_of(seen.text)
    return BodyForm.PAGE if seen.page and form is BodyForm.EMPTY else form


def _was_not_reached(seen: Witnessed, error: ProviderError) -> bool:
    """True where the limit ended a call before it had a connection."""
    return not seen.status and isinstance(error, ProviderUnavailable)


def _host(deployment: Deployment) -> str:
    parts = urlsplit(deployment.base_url)
    return parts.netloc.rpartition("@")[2]


def _told(seen: Witnessed, error: ProviderError) -> str:
    """Returns status, code and parameter in brackets."""
    status = str(seen.status or error.status or "")
    code = "" if error.code == status else error.code
    field = f"field {error.parameter}" if error.parameter else ""
    words = [word for word in (status, code, field) if word]
    return f" ({', '.join(words)})" if words else ""


def _is_foreign(deployment: Deployment, error: ProviderError, form: BodyForm) -> bool:
    """Errors in the form of OpenAI's are written by servers of every protocol."""
    if form not in SPOKEN or form.value == deployment.provider:
        return False
    if form is BodyForm.OPENAI and deployment.provider == BodyForm.RESPONSES.value:
        return isinstance(error, ProviderMalformed)  # an error of either has one form
    return form is not BodyForm.OPENAI or isinstance(error, ProviderMalformed | ProviderNotFound)


def _by_status(seen: Witnessed, form: BodyForm) -> Diagnosis | None:
    if HTTPStatus.MULTIPLE_CHOICES <= seen.status < HTTPStatus.BAD_REQUEST:
        fix = "write in base_url where it leads: https://, the host's full name, no double slash"
        return Diagnosis(f"the server redirects, and keys follow no redirect: {fix}", url=True)
    if seen.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        return Diagnosis("the proxy wants a login: put it into the proxy's URL in the environment")
    if re.search(rb"HTTP request[^.]{0,40} HTTPS", seen.text):
        return Diagnosis("the server speaks TLS there: write https:// in base_url")
    if _PATH_UNKNOWN.search(_said(seen.text)):
        return Diagnosis(_NO_PATH, url=True)
    return _of_page(seen.status) if form is BodyForm.PAGE else None


def _of_page(status: int) -> Diagnosis | None:
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS):
        return None
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Diagnosis("a gateway's page answers: what stands behind it is away")
    if status == HTTPStatus.FORBIDDEN:
        return Diagnosis("a firewall's page answers: it lets no call of this machine through")
    return Diagnosis(_SPEAKS[BodyForm.PAGE], url=True)


def _by_error(deployment: Deployment, key: str, seen: Witnessed, error: ProviderError) -> Diagnosis:
    if isinstance(error, ProviderUnauthorized):
        return Diagnosis(_unauthorized(key, error))
    if isinstance(error, ProviderNotFound):
        return _not_found(deployment, seen, error)
    if isinstance(error, ProviderMalformed):
        return _malformed(deployment, _form(seen))
    if type(error) is ProviderRefusedRequest and error.parameter:
        return Diagnosis(_refused_field(deployment, error.parameter))
    for kind, found in _BY_KIND.items():
        if isinstance(error, kind):
            return found
    grave = error.status not in _PAUSES
    return Diagnosis("the provider has a fault: try again later", grave)


_BY_KIND: Final[dict[type[ProviderError], Diagnosis]] = {
    ProviderOutOfCredit: Diagnosis(
        "the account has no credit or quota left: top it up, or raise its limit"
    ),
    ProviderRateLimited: Diagnosis(
        "the provider asks for a pause, so URL and key are right: try again later", grave=False
    ),
    ProviderContentRefused: Diagnosis(
        "a filter refused the harmless words of this call; URL and key are right", grave=False
    ),
    ProviderContextTooLong: Diagnosis(
        "a few words are too long for it: look at the limits of the model or of a gateway"
    ),
    ProviderRefusedRequest: Diagnosis("the provider refuses a plain request"),
    ProviderTimeout: Diagnosis("no answer in time: is the model loaded, and timeout_ms enough?"),
    ProviderDisconnected: Diagnosis("the connection broke off before an answer: try again"),
}


def _refused_field(deployment: Deployment, field: str) -> str:
    """Says which option of the deployment is to be changed."""
    rules, name = deployment.rules, re.split(r"[.\[]", field)[-1]
    if f'"{name}":' in rules.parameters:
        return "the provider refuses a field of the deployment's parameters: take it out of them"
    if name in (rules.limit_field, "max_tokens", "max_completion_tokens"):
        return "the provider refuses the field of the output limit: write another in limit_field"
    return "the provider refuses a field of a plain request: see parameters and omit"


def _unauthorized(key: str, error: ProviderError) -> str:
    if not key:
        return "the provider wants a key: name its variable in api_key_env"
    if error.status == HTTPStatus.FORBIDDEN:
        return f"the key of {key} may not do this: give it access to the model, or take another"
    return f"the key of {key} is not accepted: set one that is valid at this host"


def _not_found(deployment: Deployment, seen: Witnessed, error: ProviderError) -> Diagnosis:
    if _speaks_of_model(deployment, seen.text, error.code):
        fix = "write a name of its list of models, or give the key access to it"
        return Diagnosis(f"the provider does not know the model: {fix}")
    return Diagnosis(_NO_PATH, url=True)


def _speaks_of_model(deployment: Deployment, head: bytes, code: str) -> bool:
    """True unless the answer is about a path. Paths are left out of it: they may name a model."""
    said = re.sub(r"(?<![\w.-])/\S*", "", f"{code}\n{_said(head)}").lower()
    name = re.escape(deployment.model.lower())
    return re.search(rf"model|deployment|(?<![\w.-]){name}(?![\w-])", said) is not None


def _said(head: bytes) -> str:
    return read_failure(decoded(head)).message


def _malformed(deployment: Deployment, form: BodyForm) -> Diagnosis:
    if form in _SPEAKS:
        return Diagnosis(_SPEAKS[form], url=True)
    if form in SPOKEN and form.value != deployment.provider:
        return Diagnosis("the answer can't be read")
    return Diagnosis(f"the answer does not follow the protocol {deployment.provider}", url=True)


def may_want_more(error: ProviderError) -> bool:
    """True where a plain request was refused: some models refuse a limit of one token."""
    return type(error) is ProviderRefusedRequest and error.fault is Fault.REQUEST
