"""The training and the test data that one source has."""

from typing import NamedTuple, Protocol

from ddmlp.data.changes import Changes
from ddmlp.data.sources import FiniteSource


class Convertible(Protocol):
    """Anything that opens as a `FiniteSource`, such as a `Pair` of IDX files."""

    def open(self) -> FiniteSource: ...


class Parts(NamedTuple):
    """The parts of a source.

    Parameters
    ----------
    train : Convertible
        The training data, or all rows of a source that is not divided.
    test : Convertible, optional
        The test data.
    changes : Changes
        How the rows differ from what they should be.
    class_names : tuple of str, optional
        The names of the classes, if the rows do not have them.
    about : str
        What was assumed about the source, for the user.
    """

    train: Convertible
    test: Convertible | None = None
    changes: Changes = Changes()
    class_names: tuple[str, ...] | None = None
    about: str = ""

    def names_of(self, classes: int | None) -> tuple[str, ...] | None:
        """Return the names of the classes, if there are as many names as classes; None: any number of classes."""
        return self.class_names if classes in (None, len(self.class_names or ())) else None
