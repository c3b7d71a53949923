"""How far a run is behind its stream: lag.json in its folder says it to other processes, while the run trains."""

import time
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from ddmlp.runs.json_text import Amount, Count, from_json, to_json

NAME = "lag.json"
FRESH_SECONDS = 5.0  # after which a measurement no longer says how it is now


class Lag(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a run is behind its stream, up to a second ago.

    Parameters
    ----------
    messages
        Messages in the broker that are not read yet, as far as it says.
    rows
        Rows that are not trained on yet: in these messages, and on disk. None if it is not known how many rows the
        messages have.
    seconds
        The time since the newest row that is trained on was sent; 0 if all rows are trained on. None if the messages
        have no event times.
    """

    messages: Count
    rows: Count | None = None
    seconds: Amount | None = None


def write_lag(run: Path, lag: Lag | None) -> None:
    """Write it into the folder of a run; None: it is not known. What cannot be written is not shown."""
    with suppress(OSError):
        if lag is None:
            (run / NAME).unlink(missing_ok=True)
            return
        temporary = run / f".{NAME}.tmp"
        temporary.write_text(to_json(lag) + "\n")
        temporary.replace(run / NAME)


def read_lag(run: Path) -> Lag | None:
    """Read it; returns None if it is not known, or if it was written more than FRESH_SECONDS ago.

    Examples
    --------
    >>> write_lag(Path(), Lag(messages=3, rows=35, seconds=2.5))
    >>> read_lag(Path())
    Lag(messages=3, rows=35, seconds=2.5)
    """
    with suppress(OSError, ValueError):
        if time.time() - (run / NAME).stat().st_mtime <= FRESH_SECONDS:
            return from_json((run / NAME).read_bytes(), Lag)
    return None
