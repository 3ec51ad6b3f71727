"""`python -m router`, and the command `adaptive-router`."""

from __future__ import annotations

import os
import signal
from typing import Final, NoReturn

SHELL_SIGNALLED: Final = 128
"""A shell adds the signal to it for the exit status of a process that one ended."""


def main() -> None:
    """End on SIGTERM from the first moment: as process 1 it would be ignored until it is asked for.

    A command that serves takes the signal over once it runs.
    """
    signal.signal(signal.SIGTERM, _end)
    # gRPC's own lines are no JSON, and a stranger's handshakes that fail would fill the log.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from router.cli import main as commands  # noqa: PLC0415 - imports for most of a second

    commands(prog_name="adaptive-router")


def _end(*_: object) -> NoReturn:
    """Raise nothing: an import that is interrupted may make an error of its own of that."""
    os._exit(SHELL_SIGNALLED + signal.SIGTERM)


if __name__ == "__main__":
    main()
