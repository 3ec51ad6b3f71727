"""Says for which config a directory of an embedded store is in use, and keeps others out.

Every router and learner of one config shares a lock on a file in the directory, which the kernel
gives back when the process ends, however it ends.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import Final, Self

import structlog

from router.domain.errors import StoreTaken, StoreUnwritable

FILE: Final = "owner.lock"
WAIT_S: Final = 5.0
POLL_S: Final = 0.01
MAX_BYTES: Final = 8_192


class StoreClaim:
    """Held within `with`. config: the file that this process was started with.

    Raises StoreTaken, StoreUnwritable.
    """

    def __init__(self, data_dir: Path, config: Path) -> None:
        self._data_dir = data_dir
        self._config = os.path.normpath(config.absolute())
        self._lock: int | None = None

    def __enter__(self) -> Self:
        try:
            self._lock = os.open(self._data_dir / FILE, os.O_RDWR | os.O_CREAT, 0o600)
            self._share(self._lock)
        except OSError:
            self.__exit__()
            fix = f"let this user write {self._data_dir / FILE}, and see that there is space left"
            raise StoreUnwritable(fix) from None
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _share(self, lock: int) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while True:
            if _locked(lock, fcntl.LOCK_EX):
                self._begin(lock)
                fcntl.flock(lock, fcntl.LOCK_SH)
            if _locked(lock, fcntl.LOCK_SH):
                self._check(lock)
                return
            if time.monotonic() > deadline_s:
                raise StoreTaken(f"{self._data_dir / FILE} is locked by another program: end it")
            time.sleep(POLL_S)

    def _begin(self, lock: int) -> None:
        """Write who begins; nobody else holds the claim."""
        _, earlier = _read(lock)
        if earlier and earlier != self._config:
            structlog.get_logger("app").warning(
                "store_of_another_config", folder=str(self._data_dir), earlier=earlier
            )
        written = json.dumps({"pid": os.getpid(), "config": self._config}).encode()
        os.ftruncate(lock, 0)
        os.pwrite(lock, written, 0)

    def _check(self, lock: int) -> None:
        pid, config = _read(lock)
        if config != self._config:
            raise StoreTaken(
                f"the store in {self._data_dir} is in use by process {pid} with the config "
                f"{config}: set redis.embedded.data_dir to a folder of this project's own"
            )


def _locked(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _read(lock: int) -> tuple[int, str]:
    """Returns process and config of who began the claim, 0 and "" where nobody is named."""
    try:
        told = json.loads(os.pread(lock, MAX_BYTES, 0))
        return int(told["pid"]), str(told["config"])
    except (ValueError, KeyError, TypeError):
        return 0, ""
