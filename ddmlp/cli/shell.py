"""Commands in messages, which can be pasted into a shell."""

import os
import shlex
import sys
from collections.abc import Iterable


def python_command(name: str, *arguments: object) -> str:
    """The command `python -m ddmlp.NAME ...`, with the interpreter of this process."""
    return command_line([interpreter(), "-m", f"ddmlp.{name}", *arguments])


def interpreter() -> str:
    """The interpreter of this process, as the user called it: that works without an activated environment, too."""
    return sys.orig_argv[0] if sys.orig_argv else sys.executable


def command_line(words: Iterable[object]) -> str:
    """A line that a shell splits into these words."""
    return " ".join(_quoted(str(word)) for word in words)


def _quoted(word: str) -> str:
    """A word in quotes that keep it. What cannot be shown is written in ASCII, by its bytes: bash, zsh and POSIX.1-2024
    know that form.

    >>> print(_quoted("it's"), _quoted("a\\nb"))
    'it'"'"'s' $'a\\012b'
    """
    try:
        word.encode(sys.stdout.encoding or "utf-8")
        shown = word.isprintable()
    except UnicodeEncodeError:  # another alphabet, or a file name that is no UTF-8
        shown = False
    if shown:
        return shlex.quote(word)
    # Three octal digits have an end; hexadecimal ones have none in every shell.
    return "$'" + "".join(_character(byte) for byte in os.fsencode(word)) + "'"


def _character(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F and chr(byte) not in "'\\" else f"\\{byte:03o}"
