"""`scripts/chaos`."""

from __future__ import annotations

import click

from bench.chaos.learning import learning
from bench.chaos.store import store


@click.group()
def main() -> None:
    """Break it on purpose, on 127.0.0.1, bounded in count."""


main.add_command(learning)
main.add_command(store)
main()
