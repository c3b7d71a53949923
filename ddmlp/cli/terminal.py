"""The output of commands: errors in one line, and a progress bar."""

import argparse
import io
import math
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from ddmlp import wrong_python
from ddmlp.errors import ConfigError, DdmlpError, printable

MODELS: dict[str, Any] = {  # what --model takes, given once or several times
    "type": Path,
    "action": "append",
    "help": "a run's folder, or an .npz file with W1 and W2; given several times: they are a committee, whose "
    "probabilities are the mean of theirs",
}


class Parser(argparse.ArgumentParser):
    """An argument parser that prints an error as one line, and takes no empty argument.

    An empty one is the value of a shell variable that is not set: as a path, it would be the current folder.
    """

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse the arguments, by default those of the process. Exits with status 2 if one is empty."""
        words = list(sys.argv[1:] if args is None else args)
        for before, word in pairwise(["", *words]):
            if not word or (word.startswith("--") and word.endswith("=")):
                name = word[:-1] or (before if before.startswith("-") else "an argument")
                self.error(f"{name} is empty; is a variable of the shell not set?")
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        fail(f"{message}; see {self.prog} --help")
        sys.exit(2)


def check_range(flag: str, value: float | None, least: int, most: float = math.inf) -> None:
    """Raise ConfigError if a flag has a value that is not from `least` to `most`."""
    if value is not None and not least <= value <= most:
        raise ConfigError(f"{flag} is {value}, expected {least} {'or more' if most == math.inf else f'to {most}'}")


def command(main: Callable[[], int | None]) -> NoReturn:
    """Run `main` as a command: exit with the status that it returns, or print an error that a user can correct as one
    line, followed by its notes.

    Exit status 0 is success, 1 an error, 2 a bad flag or setting, 130 Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names may have characters that it cannot show, or not be UTF-8
            stream.reconfigure(errors="backslashreplace")
    try:
        status = main() or 0
        sys.stdout.flush()
    except DdmlpError as error:
        fail(str(error), error)
        status = error.exit_status
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name in ("", "ddmlp", "tools"):  # a bug of ddmlp
            raise
        fail(wrong_python(f"it does not have {name}"), error)
        status = 1
    except BrokenPipeError:
        # The reader of the output (head, less) has exited: end as other commands do, without a second error.
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


def find_modules_here() -> None:
    """Let modules in the current folder be found, as `python -m` does: a transform may be in one."""
    if not {"", here := str(Path.cwd())} & {*sys.path}:
        sys.path.append(here)


def fail(message: str, error: BaseException | None = None) -> None:
    """Print an error on standard error: one line, unless it has a hint, followed by the notes of the exception.
    Characters that are not printable, for example of a file name or from another process, are escaped."""
    text = "\n".join([f"error: {message.strip()}", *getattr(error, "__notes__", ())])
    text = "\n".join(map(printable, text.split("\n")))
    print(text, file=sys.stderr)


@contextmanager
def bar(what: str, unit: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar on standard error; the block gets a function that moves it, called with (done, total). If
    standard error is not a terminal, nothing is shown."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn(what), BarColumn(), MofNCompleteColumn(), TextColumn(unit), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
