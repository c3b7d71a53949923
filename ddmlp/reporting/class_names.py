"""The names of a model's classes, in full and as short as a table or a chart needs them."""

from typing import NamedTuple, Self

from ddmlp.inference.model import Model

SHORT = 3  # characters


class Names(NamedTuple):
    """The names of classes; their numbers if they have none.

    Parameters
    ----------
    full, short : list of str
        The names; and the same, or the numbers if a name is long.
    long : bool
        Whether `short` has the numbers of classes that have names.

    Examples
    --------
    >>> names = Names(["cat", "zebra"], ["0", "1"], long=True)
    >>> names.head(1)
    '1 zebra'
    """

    full: list[str]
    short: list[str]
    long: bool

    @classmethod
    def of(cls, model: Model | None, tested: int) -> Self:
        """Return the names of a model's classes; none without a model. tested: the number of classes of its test."""
        numbers = list(map(str, range(max(tested, model.weights.shape.outputs if model else 0))))
        full = list(model.class_names) if model and model.class_names else numbers
        long = max(map(len, full), default=0) > SHORT
        return cls(full, numbers if long else full, long)

    def head(self, label: int) -> str:
        """Return the name of a class, after its number if the short names are the numbers."""
        return f"{label} {self.full[label]}" if self.long else self.full[label]
