"""The header of an array in NumPy's format .npy 1.0, as it is in .npz files. Nothing is evaluated or unpickled."""

import re
from typing import NamedTuple

TYPE = r"[<>|](?:f[248]|[iu][1248]|b1)"  # numbers of at most 64 bits
START = 10  # bytes before the text: the magic, the version, and the size of the text
MOST = START + 0xFFFF  # bytes of a header

_HEADER = re.compile(  # exactly as NumPy writes it; Python 2 wrote an L after some integers
    rb"\x93NUMPY\x01\x00(?P<size>..)"
    rb"\{'descr': '(?P<type>" + TYPE.encode() + rb")', 'fortran_order': (?P<columns>True|False), "
    rb"'shape': \((?P<shape>(?:[0-9]{1,18}L?,(?: [0-9]{1,18}L?(?:, [0-9]{1,18}L?){0,30})?)?)\), \} *\n",
    re.DOTALL,
)


class NpyHeader(NamedTuple):
    """The header of an array.

    Parameters
    ----------
    dtype : str
        The type of the numbers, for example "<f4".
    columns : bool
        Whether they are in column-major order.
    shape : tuple of int
        The shape.
    size : int
        The bytes of the header.
    """

    dtype: str
    columns: bool
    shape: tuple[int, ...]
    size: int

    @classmethod
    def parse(cls, begin: bytes) -> "NpyHeader":
        """Parse the header at the beginning of some bytes; raises ValueError if it is not one of an array of numbers.

        >>> text = b"{'descr': '<i4', 'fortran_order': False, 'shape': (3,), }".ljust(117) + b"\\n"
        >>> NpyHeader.parse(b"\\x93NUMPY\\x01\\x00" + len(text).to_bytes(2, "little") + text)
        NpyHeader(dtype='<i4', columns=False, shape=(3,), size=128)
        """
        found = _HEADER.match(begin)
        if found is None or int.from_bytes(found["size"], "little") != found.end() - START:
            raise ValueError("not an array of numbers in NumPy's format .npy 1.0")
        shape = tuple(int(part.rstrip(b"L")) for part in found["shape"].split(b",") if part)
        return cls(found["type"].decode(), found["columns"] == b"True", shape, found.end())
