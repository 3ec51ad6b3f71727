"""`python -m router`."""

from router.cli import main

main(prog_name="adaptive-router")
