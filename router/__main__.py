"""`python -m router`, and the command `adaptive-router`."""

from __future__ import annotations

import signal
import sys
from typing import NoReturn


def main() -> None:
    """End on SIGTERM from the first moment: as process 1 it would be ignored until it is asked for.

    A command that serves takes the signal over once it runs.
    """
    signal.signal(signal.SIGTERM, _end)
    from router.cli import main as commands  # noqa: PLC0415 - imports for most of a second

    commands(prog_name="adaptive-router")


def _end(*_: object) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    main()
