"""What a command shows a person: one clear line for an error, and a bar for what takes long."""

import argparse
import io
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from ddmlp import wrong_python
from ddmlp.errors import ConfigError, DdmlpError, printable


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        fail(f"{message}; see {self.prog} --help")
        sys.exit(2)


def check_range(flag: str, value: float | None, least: int, most: float = math.inf) -> None:
    """Raise ConfigError if the value of a flag is given, and is not from `least` to `most`."""
    if value is not None and not least <= value <= most:
        raise ConfigError(f"{flag} is {value}, expected {least} {'or more' if most == math.inf else f'to {most}'}")


def command(main: Callable[[], int | None]) -> NoReturn:
    """Run `main` as a command: exit with what it returns, or print one line for an error that a user can mend, and the
    notes that were added to it.

    Exit status 0 is success, 1 an error, 2 a bad flag or setting, 130 Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name need not be of an alphabet that it can show, nor UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main() or 0
        sys.stdout.flush()
    except DdmlpError as error:
        fail(str(error), error)
        status = error.exit_status
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name in ("", "ddmlp", "tools"):  # a mistake of ours
            raise
        fail(wrong_python(f"it does not have {name}"), error)
        status = 1
    except BrokenPipeError:
        # The reader of our output (head, less) went away: leave as other commands do, without a second complaint.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "input/output"
        fail(f"{name}: {error.strerror or error}", error)
        status = 1
    except KeyboardInterrupt as error:
        fail("interrupted", error)
        status = 130
    sys.exit(status)


def fail(message: str, error: BaseException | None = None) -> None:
    """Print `message` on standard error, as what a command that failed has to say: one line, but for a hint, and the
    notes of the error. What is not printable, which may come from a name or from another process, is escaped."""
    text = "\n".join([f"error: {message.strip()}", *getattr(error, "__notes__", ())])
    text = "\n".join(map(printable, text.split("\n")))
    print(text, file=sys.stderr)


@contextmanager
def bar(what: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """A progress bar on standard error, moved by calling what it yields with (done, total); silent if standard
    error is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
