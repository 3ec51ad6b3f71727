"""Errors of an experiment's input; every message names the fix."""

from __future__ import annotations

import click


class BenchError(click.ClickException):
    """Printed without a traceback; exit status 2."""

    exit_code = 2


class DataAbsent(Exception):
    """The recorded outcomes are not on this machine."""
