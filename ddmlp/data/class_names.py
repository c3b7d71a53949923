"""Class names from a file or from the command line."""

import os
import re
from pathlib import Path

from ddmlp.errors import ConfigError

MAX_BYTES = 1 << 16  # of a file; 256 names of 100 ASCII characters take less


def parse_class_names(given: str) -> tuple[tuple[str, ...], int | None]:
    """Parse the names of the classes 0, 1, ...

    Parameters
    ----------
    given : str
        Names separated by commas, or the path of a text file (UTF-8). The file has one name per line, or lines such
        as "1 65 97" like EMNIST's mapping files: a label, then the code points of its characters.

    Returns
    -------
    names : tuple of str
        The names, in the order of the classes.
    first_label : int or None
        The label of class 0 if the file is a mapping file.

    Raises
    ------
    ConfigError
        The file cannot be read, is damaged, or contains no names.

    Examples
    --------
    >>> parse_class_names("cat,dog")
    (('cat', 'dog'), None)
    """
    # A list may be longer than any file name; Path.is_file() raises an error for such a path.
    is_list = "," in given and not os.path.isfile(given)  # noqa: PTH113
    lines = given.split(",") if is_list else _lines(Path(given))
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    if not names:
        raise ConfigError(f"--class-names: {given!r} contains no names, expected at least one")
    if all(re.fullmatch(r"\d{1,3}(\s+\d{1,7})+", name) for name in names):
        return _mapping(given, [[int(number) for number in name.split()] for name in names])
    return tuple(names), None


def _lines(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"--class-names: {path}: {error.strerror}; expected a file with one name per line, or names separated by "
            "commas"
        ) from None
    if len(content) > MAX_BYTES:
        raise ConfigError(
            f"--class-names: {path} has more than {MAX_BYTES:,} bytes, expected a file with one name per line"
        )
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"--class-names: {path}, byte {error.start}: not valid UTF-8, expected text") from None


def _mapping(given: str, lines: list[list[int]]) -> tuple[tuple[str, ...], int]:
    first = lines[0][0]
    for number, (label, code, *_) in enumerate(lines):
        if label != first + number:
            raise ConfigError(
                f"--class-names: {given}, line {number + 1}: found label {label}, expected {first + number}"
            )
        if code > 0x10FFFF:
            raise ConfigError(f"--class-names: {given}, line {number + 1}: found {code}, expected a Unicode code point")
    return tuple(chr(code) for _, code, *_ in lines), first
