"""EMNIST: the names of its files, and in what its rows differ from MNIST's.

Cohen, Afshar, Tapson and van Schaik, "EMNIST: an extension of MNIST to handwritten letters" (2017). Its images are
stored with rows and columns exchanged, and the labels of its set of letters begin at 1.
"""

import re
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits

_OTHERWISE_WRITTEN = "abdefghnqrt"  # small letters that are classes of their own where the others are merged
SETS = {  # the names of the classes of each set
    "emnist-balanced": tuple(digits + ascii_uppercase + _OTHERWISE_WRITTEN),
    "emnist-byclass": tuple(digits + ascii_uppercase + ascii_lowercase),
    "emnist-bymerge": tuple(digits + ascii_uppercase + _OTHERWISE_WRITTEN),
    "emnist-digits": tuple(digits),
    "emnist-letters": tuple(ascii_uppercase),
    "emnist-mnist": tuple(digits),
}
FIRST_LABELS = {"emnist-letters": 1}  # of the other sets it is 0
_IMAGES = re.compile(r"(emnist-[a-z]+)-(?:train|test)-images[-.]idx3-ubyte(?:\.gz)?")


def set_of(images: Path) -> str | None:
    """The set that a file of images belongs to, by its name; None if it is none of EMNIST's."""
    found = _IMAGES.fullmatch(images.name)
    return found[1] if found and found[1] in SETS else None


def sets_in(folder: Path) -> list[str]:
    """The sets of which a folder holds images, in the order of their names; OSError if it cannot be read."""
    return sorted({name for path in folder.iterdir() if (name := set_of(path))})
