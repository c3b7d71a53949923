"""Commands in messages, quoted so that they can be pasted into a shell."""

import os
import shlex
import sys
from collections.abc import Iterable


def python_command(name: str, *arguments: object) -> str:
    """Format the command `python -m ddmlp.NAME ...`, with the interpreter of this process."""
    return command_line([interpreter(), "-m", f"ddmlp.{name}", *arguments])


def interpreter() -> str:
    """The interpreter of this process, as the user called it: this also works without an activated environment."""
    return sys.orig_argv[0] if sys.orig_argv else sys.executable


def command_line(words: Iterable[object]) -> str:
    """Format a line that a shell splits into these words."""
    return " ".join(_quoted(str(word)) for word in words)


def _quoted(word: str) -> str:
    """Quote a word. One that cannot be printed is written in ASCII, by its bytes: bash, zsh and POSIX.1-2024 read that
    form.

    >>> print(_quoted("it's"), _quoted("a\\nb"))
    'it'"'"'s' $'a\\012b'
    """
    try:
        word.encode(sys.stdout.encoding or "utf-8")
        shown = word.isprintable()
    except UnicodeEncodeError:  # another alphabet, or a file name that is not UTF-8
        shown = False
    if shown:
        return shlex.quote(word)
    # An octal escape ends after three digits; in some shells a hexadecimal one does not end.
    return "$'" + "".join(_character(byte) for byte in os.fsencode(word)) + "'"


def _character(byte: int) -> str:
    return chr(byte) if 0x20 <= byte < 0x7F and chr(byte) not in "'\\" else f"\\{byte:03o}"
