"""What several test files use."""

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
    """A command within this process, which is faster than one of its own."""
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
    """Events or a result as a reader of their files has them: dictionaries, lists, texts and numbers."""
    return json.loads(json.dumps(msgspec.to_builtins(record)))


def elsewhere() -> dict[str, str]:
    """Variables of the environment with which Numba compiles for a processor that has no fma, nor anything newer."""
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"no other processor than {platform.machine()} is known that this one can stand for")
    return {"NUMBA_CPU_NAME": "nehalem", "NUMBA_CPU_FEATURES": ""}


class Clock:
    """Takes the place of the module time: it goes on where somebody sleeps, and where it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = monotonic

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0
        self.now += seconds

    def costing(self, seconds: float, call: Callable[..., Any]) -> Callable[..., Any]:
        """What calls `call` and takes so long."""

        def costly(*arguments: Any) -> Any:
            self.now += seconds
            return call(*arguments)

        return costly
