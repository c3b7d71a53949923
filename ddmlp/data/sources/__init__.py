"""Sources of rows: their interfaces, one file for each kind, and a registry that finds them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol, Self, runtime_checkable

if TYPE_CHECKING:  # commands check their flags before NumPy is imported
    import numpy as np
    from numpy.typing import NDArray

    from ddmlp.data.position import Position


class Rows(NamedTuple):
    """Some rows: pixels, uint8 (rows, height, width), and labels, uint8 (rows,)."""

    pixels: "NDArray[np.uint8]"
    labels: "NDArray[np.uint8]"


class BadRow(NamedTuple):
    """A row that cannot be decoded.

    Parameters
    ----------
    partition, offset : str
        The partition and the offset of its message.
    row : int or None
        Its number in the message; None if the whole message cannot be decoded.
    reason : str
        What was found, and what was expected.
    label, payload : bytes or None
        The label and the payload of the message, as they are.
    """

    partition: str
    offset: str
    row: int | None
    reason: str
    label: bytes | None
    payload: bytes | None


class StreamEnd(NamedTuple):
    """What is known of the end of a stream in a broker.

    Parameters
    ----------
    messages : int
        The messages that are not read yet.
    rows : int or None
        The rows of the stream up to its end, read or not; None if it is not known how many rows the messages have.
    moment : float
        When the broker said so, by `time.monotonic`.
    """

    messages: int
    rows: int | None
    moment: float


class Source(Protocol):
    """A stream of rows, as `StreamIngest` needs it. One thread reads it; any thread may call `stop`.

    Attributes
    ----------
    name : str
        The name of the source in messages.
    stopped : bool
        Whether `stop` was called.
    lost : str or None
        Why the stream broke off; None while it is open, and if it ended with the sender's end-of-stream marker.
    """

    name: str
    stopped: bool
    lost: str | None

    def batches(self, classes: int, idle: Callable[[], None], seconds: float) -> Iterator[Rows]:
        """Yield the rows in order, at least one at a time, with labels 0 to classes-1.

        Calls `idle` before each wait for rows, and every `seconds` during a wait. Raises DatasetError for bad rows.
        """

    def stop(self) -> None:
        """Make `batches` end at once, even during a wait. May be called from any thread."""

    def close(self) -> None:
        """Release the resources of the source."""


@runtime_checkable
class PositionedSource(Source, Protocol):
    """A stream of which any part can be read again.

    Attributes
    ----------
    position : Position or None
        The position after the rows that `batches` has yielded. It may yield no rows, with another position.
    """

    position: "Position | None"

    def begin(
        self, position: "Position | None", image_shape: tuple[int, int] | None, reject: Callable[[BadRow], None]
    ) -> None:
        """Say where `batches` is to begin; called once, before it.

        Parameters
        ----------
        position : Position or None
            Where to continue; None: at the first row that the stream still has.
        image_shape : (int, int) or None
            The height and width of the images, if known.
        reject : callable
            Called with each row that cannot be decoded. Raises DatasetError if it may not be passed over.
        """

    def commit(self, position: "Position") -> None:
        """Take note that all rows before `position` are on disk: only for tools that show how far a stream is read."""

    def find_end(self, rows: int) -> StreamEnd | None:
        """Ask the broker where the stream ends; `rows` rows are before the position. None: it does not say.

        Called about once a second, by the thread that reads, before a wait. It is only for display.
        """


class FiniteSource(Protocol):
    """A source with a known number of rows, as `convert` needs it; a context manager.

    Attributes
    ----------
    rows : int
        The number of rows.
    image_shape : tuple of int
        The (height, width) of all images.
    class_names : tuple of str or None
        The names of the classes, if the source has them.
    """

    rows: int
    image_shape: tuple[int, int]
    class_names: tuple[str, ...] | None

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def count_classes(self) -> int:
        """Return one more than the highest label."""

    def batches(self, classes: int) -> Iterator[Rows]:
        """Yield the rows in order, with labels 0 to classes-1; raises DataError for bad rows."""
