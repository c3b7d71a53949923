"""EMNIST: the names of its files, and how its rows differ from MNIST's.

Cohen, Afshar, Tapson and van Schaik, "EMNIST: an extension of MNIST to handwritten letters" (2017). Its images are
stored transposed, and the labels of the set "letters" begin at 1.
"""

import re
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase, digits

_UNMERGED = "abdefghnqrt"  # lower-case letters with a separate class in the sets that merge the others
SETS = {  # class names, by set
    "emnist-balanced": tuple(digits + ascii_uppercase + _UNMERGED),
    "emnist-byclass": tuple(digits + ascii_uppercase + ascii_lowercase),
    "emnist-bymerge": tuple(digits + ascii_uppercase + _UNMERGED),
    "emnist-digits": tuple(digits),
    "emnist-letters": tuple(ascii_uppercase),
    "emnist-mnist": tuple(digits),
}
FIRST_LABELS = {"emnist-letters": 1}  # 0 in all other sets
_IMAGES = re.compile(r"(emnist-[a-z]+)-(?:train|test)-images[-.]idx3-ubyte(?:\.gz)?")


def set_of(images: Path) -> str | None:
    """Return the EMNIST set of an image file, by the file's name; None if it is not an EMNIST file."""
    found = _IMAGES.fullmatch(images.name)
    return found[1] if found and found[1] in SETS else None


def sets_in(folder: Path) -> list[str]:
    """Return the sorted names of the EMNIST sets with images in a folder; raises OSError if it cannot be read."""
    return sorted({name for path in folder.iterdir() if (name := set_of(path))})
