"""The watch over what tests leave behind: it finds each kind, and nothing else."""

import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.leaks import SHARED, no_leaks


@contextmanager
def descriptor() -> Iterator[None]:
    number = os.open(os.devnull, os.O_RDONLY)
    yield
    os.close(number)


@contextmanager
def thread() -> Iterator[None]:
    end = threading.Event()
    left = threading.Thread(target=end.wait)
    left.start()
    yield
    end.set()
    left.join()


@contextmanager
def process() -> Iterator[None]:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as left:
        left.stdin.write("begun\n")
        assert left.stdout.readline() == "begun\n"
        yield


@contextmanager
def file() -> Iterator[None]:
    with tempfile.NamedTemporaryFile(dir=SHARED):
        yield


def test_simple():
    with no_leaks(), descriptor(), thread(), process(), file():
        pass


@pytest.mark.parametrize(
    ("left", "named"),
    [(descriptor, "/dev/null"), (thread, "thread Thread-"), (process, r"process \d+ cat"), (file, "file /dev/shm/tmp")],
)
def test_what_is_left_is_named(left, named: str):
    held = left()
    with pytest.raises(AssertionError, match=named), no_leaks(seconds=0):
        held.__enter__()
    held.__exit__(None, None, None)
