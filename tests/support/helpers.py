"""Helpers for several test files."""

import io
import json
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any
from unittest import mock

import msgspec
import pytest

from ddmlp.cli import terminal


def inside(main: Callable[[], int | None], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which is faster than a subprocess."""
    called = [main.__module__, *map(str, arguments)]
    with (
        mock.patch.object(sys, "argv", called),
        redirect_stdout(io.StringIO()) as out,
        redirect_stderr(io.StringIO()) as err,
        pytest.raises(SystemExit) as caught,
    ):
        terminal.command(main)
    return subprocess.CompletedProcess(called, caught.value.code, out.getvalue(), err.getvalue())


def plain(record: object) -> Any:
    """Return events or a result as JSON values, as a reader of their files gets them."""
    return json.loads(json.dumps(msgspec.to_builtins(record)))


def elsewhere() -> dict[str, str]:
    """Return environment variables that make Numba compile for an old processor without fma."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"no older processor is known for {platform.machine()}")
    return {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": ""}


class Clock:
    """Replaces the module time: the clock advances only in `sleep` and `costing`."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def costing(self, seconds: float, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that calls `call` and advances the clock by `seconds`."""

        def costly(*arguments: Any) -> Any:
            self.now += seconds
            return call(*arguments)

        return costly
