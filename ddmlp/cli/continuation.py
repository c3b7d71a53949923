"""The commands that continue a run, as its messages show them."""

import argparse
import os
import sys
from pathlib import Path

from ddmlp.cli.shell import command_line, interpreter
from ddmlp.cli.train_arguments import STANDARD_INPUT, flags_again, streamed


class Continuation:
    """The commands that continue the run of this command. They can be pasted into any shell on this machine.

    Parameters
    ----------
    args : argparse.Namespace
        The flags of this command. Those that the run does not store are repeated.
    run : Path
        The run's folder, absolute.
    moved : Path or None
        The folder of the data, if it is not the one that the run was begun with.
    follow : bool
        Whether more rows may arrive.
    """

    def __init__(self, args: argparse.Namespace, run: Path, moved: Path | None, *, follow: bool) -> None:
        self._resume = [*_called(), "--run", run, "--resume"]
        self._moved = ["--data", moved] if moved else []
        self._stream = args.data if streamed(args) else None
        self._flags = flags_again(args)
        self._stop = [] if args.stop_after is None else ["--stop-after", args.stop_after]
        self._follow = follow

    def text(self, *, stopped: bool = False) -> str:
        """A line with the command; if more rows may arrive, another with the one that ends the run without them.

        stopped: whether --stop-after was reached.
        """
        data = ["--data", self._stream] if self._stream else self._moved
        more = f"continue with: {command_line([*self._resume, *data, *self._flags, *([] if stopped else self._stop)])}"
        if self._stream == STANDARD_INPUT:
            more = more.replace("continue with:", "continue by piping the rest of the stream into:", 1)
        if not self._follow:
            return more
        end = command_line([*self._resume, *self._moved, *self._flags, "--end"])
        return f"{more}\nor end with the rows so far: {end}"


def _called() -> list[str]:
    """The words before the flags, as the user wrote them."""
    words = sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    if words and words[-1] in ("train", "ddmlp.train", "ddmlp.cli.train"):
        script = Path(words[1]).name == "ddmlp" and os.access(words[1], os.X_OK)  # run by its first line
        return words[1:] if script else words
    return [interpreter(), "-m", "ddmlp.train"]  # it was called as a function
