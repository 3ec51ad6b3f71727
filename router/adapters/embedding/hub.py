"""The Hugging Face Hub: plain GETs at a pinned revision, resumed by Range."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeAlias

import httpx

from router.adapters.embedding.files import PinnedFile
from router.domain.errors import ModelCorrupt, ModelUnavailable

ENDPOINT_VARIABLE: Final = "HF_ENDPOINT"
CHUNK_BYTES: Final = 1 << 18
_PUBLIC_ENDPOINT: Final = "https://huggingface.co"
_REPOSITORY: Final = "Xenova/bge-small-en-v1.5"
_REVISION: Final = "ea104dacec62c0de699686887e3f920caeb4f3e3"
_TIMEOUT: Final = httpx.Timeout(20.0, connect=5.0)
_LIMIT_S: Final = 900.0
_MAX_REDIRECTS: Final = 5

Report: TypeAlias = Callable[[PinnedFile, int], None]
"""Told of a file how many bytes of it are there by now."""


class Hub:
    """Downloads from `endpoint`, by default the one HF_ENDPOINT names, else the public hub.

    limit_s: for one file.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        limit_s: float = _LIMIT_S,
    ) -> None:
        chosen = endpoint or os.environ.get(ENDPOINT_VARIABLE, "").strip() or _PUBLIC_ENDPOINT
        self._root = f"{chosen.rstrip('/')}/{_REPOSITORY}/resolve/{_REVISION}"
        self._clock = clock
        self._limit_s = limit_s

    def download(self, file: PinnedFile, part: Path, report: Report) -> None:
        """Write what `part` lacks of the file.

        Raises:
            ModelCorrupt: the hub's file is larger than the pinned one.
            ModelUnavailable: the hub does not deliver it; what came by then stays in `part`.

        """
        try:
            with httpx.Client(
                timeout=_TIMEOUT, follow_redirects=True, max_redirects=_MAX_REDIRECTS
            ) as client:
                self._get(client, file, part, report)
        except httpx.TimeoutException:
            raise ModelUnavailable("the hub did not answer in time") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise ModelUnavailable("the hub cannot be reached or broke off") from None
        except OSError:
            raise ModelUnavailable(f"cannot write to {part.parent}") from None

    def _get(self, client: httpx.Client, file: PinnedFile, part: Path, report: Report) -> None:
        deadline_s, done = self._clock() + self._limit_s, _resumable_bytes(part, file)
        if done == file.size_bytes:
            return
        # Compressed transfer would give the range another meaning than bytes of the file.
        headers = {"Accept-Encoding": "identity"}
        if done:
            headers["Range"] = f"bytes={done}-"
        with client.stream("GET", f"{self._root}/{file.hub_path}", headers=headers) as response:
            done = _accepted_offset(response, done)
            with part.open("ab") as sink:
                sink.truncate(done)
                for chunk in response.iter_raw(CHUNK_BYTES):
                    sink.write(chunk)
                    done += len(chunk)
                    report(file, done)
                    self._check_limits(file, done, deadline_s)
        if done < file.size_bytes:
            raise ModelUnavailable("the hub sent less than the pinned file")

    def _check_limits(self, file: PinnedFile, done: int, deadline_s: float) -> None:
        if done > file.size_bytes:
            raise ModelCorrupt(f"the hub's {file.name} is larger than the pinned file")
        if self._clock() > deadline_s:
            raise ModelUnavailable(f"the hub took longer than {self._limit_s:.0f} s")


def _resumable_bytes(part: Path, file: PinnedFile) -> int:
    """Returns the length of an earlier attempt; a part that is too long is worth nothing."""
    try:
        size = part.stat().st_size
    except FileNotFoundError:
        return 0
    return size if size <= file.size_bytes else 0


def _accepted_offset(response: httpx.Response, asked: int) -> int:
    """Returns where the body starts: a server may ignore Range and send the whole file."""
    if response.status_code == httpx.codes.OK:
        return 0
    start = f"bytes {asked}-"
    if response.status_code == httpx.codes.PARTIAL_CONTENT and response.headers.get(
        "Content-Range", ""
    ).startswith(start):
        return asked
    raise ModelUnavailable(f"the hub answered {response.status_code}")
