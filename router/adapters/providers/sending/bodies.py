"""Fits a body to a deployment's rules once its dialect has written it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from router.domain.catalog import BodyRules

_Body: TypeAlias = dict[str, Any]


def adjusted(body: _Body, rules: BodyRules) -> _Body:
    """Rename fields, leave some out, then merge the deployment's own in: they win."""
    for name, theirs in rules.renamed:
        if name in body:
            body[theirs] = body.pop(name)
    for path in rules.omit:
        _leave_out(body, path.split("."))
    return merge(body, json.loads(rules.parameters or "{}"))


def merge(body: _Body, more: _Body) -> _Body:
    """Put fields in; objects on both sides are merged, everything else is replaced."""
    for name, value in more.items():
        known = body.get(name)
        both = isinstance(known, dict) and isinstance(value, dict)
        body[name] = merge(known, value) if both and known is not None else value
    return body


def _leave_out(body: _Body, path: list[str]) -> None:
    """Does nothing where there is no such field; an object left empty goes as well."""
    name, *rest = path
    inner = body.get(name)
    if not rest:
        body.pop(name, None)
    elif isinstance(inner, dict):
        _leave_out(inner, rest)
        if not inner:
            del body[name]


def headers_of(
    own: Mapping[str, str], rules: BodyRules, key: str, further: Mapping[str, str]
) -> dict[str, str]:
    """Returns a dialect's headers with the key where the host wants it, and the further ones."""
    headers = dict(own)
    if rules.key_header and key:
        headers.pop("authorization", None)
        headers[rules.key_header] = key
    return {**headers, **further}
