"""A template of lines of a trace: a text with fields, `<begin>` for a number, `<end-begin>` for a difference of two."""

import re

FIELD = re.compile(r"<(\w+)(?:-(\w+))?>")
DIGITS = 20  # of the longest number, with its sign


class Template:
    """A text with fields, and the names of its numbers: first the moments, which are seconds of a clock."""

    def __init__(self, moments: str, numbers: str, text: str) -> None:
        """moments, numbers: names, separated by spaces."""
        names = f"{moments} {numbers}".split()
        self.moments, self.size = len(moments.split()), 1 + len(names)
        columns = {None: 0} | {name: column for column, name in enumerate(names, 1)}
        self.pieces = [piece.encode() for piece in FIELD.sub("\0", text).split("\0")]
        # The field after each piece: the column of its number, and that of the one to subtract; 0 if there is none.
        self.fields = [(columns[each[1]], columns[each[2]]) for each in FIELD.finditer(text)] + [(0, 0)]
        self.longest = sum(map(len, self.pieces)) + DIGITS * len(self.fields)
