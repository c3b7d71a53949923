"""The names of classes, as a user gives them."""

import os
import re
from pathlib import Path

from ddmlp.errors import ConfigError

MAX_BYTES = 1 << 16  # of a file: 256 names of 100 characters are fewer


def parse_class_names(given: str) -> tuple[tuple[str, ...], int | None]:
    """The names of the classes 0, 1, ..., and the label of class 0 if they say so.

    Parameters
    ----------
    given : str
        A file with a name a line, or with lines like "1 65 97", a label and the code points of its characters, as
        EMNIST's mapping files have; or names with commas between them.

    Raises
    ------
    ConfigError
        The file cannot be read, or there are no names in it.
    """
    # A list may be longer than the name of a file can be, which Path.is_file() answers with an error.
    is_list = "," in given and not os.path.isfile(given)  # noqa: PTH113
    lines = given.split(",") if is_list else _lines(Path(given))
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ConfigError(f"--class-names: {given!r} has no names, expected at least one")
    if all(re.fullmatch(r"\d{1,3}(\s+\d{1,7})+", name) for name in names):
        return _mapping(given, [[int(number) for number in name.split()] for name in names])
    return tuple(names), None


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"--class-names: {path}: {error.strerror}; expected a file with a name a line, or names with commas between"
        ) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(
            f"--class-names: {path} has more than {MAX_BYTES:,} bytes, expected a file with a name a line"
        )
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"--class-names: {path}, byte {error.start}: found no UTF-8, expected text") from None


def _mapping(given: str, lines: list[list[int]]) -> tuple[tuple[str, ...], int]:
    first = lines[0][0]
    for number, (label, code, *_) in enumerate(lines):
        if label != first + number:
            raise ConfigError(
                f"--class-names: {given}, line {number + 1}: found label {label}, expected {first + number}"
            )
        if code > 0x10FFFF:
            raise ConfigError(f"--class-names: {given}, line {number + 1}: found {code}, expected a code point")
    return tuple(chr(code) for _, code, *_ in lines), first
