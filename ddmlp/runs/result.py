"""The result of a run, which is result.json."""

from typing import Annotated

from msgspec import Meta, Struct

from ddmlp.runs.json_text import Amount, Count, Digest, Fraction, Positive, Real, Sha256
from ddmlp.runs.measures import PrequentialError

Side = Annotated[int, Meta(ge=1, le=2**24)]  # of an image, in pixels


class RunStaleness(Struct, frozen=True):
    """The staleness of all updates, as `Staleness` has it, and what the settings allowed: `--staleness`, `--delay`."""

    bound: Count | Annotated[str, Meta(pattern=r"^inf\Z")]
    delay: Count
    mean: Amount
    max: Count
    histogram: dict[Count, Positive]


class RunResult(
    Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={"seconds": "train_seconds", "speed": "rows_per_second"},
):
    """What a run came to.

    Parameters
    ----------
    chain
        The digest of the last entry of the hash chain.
    test_error, test_cross_entropy, test_rows
        The fraction of the test rows recognised wrongly, the mean E in nats, how many rows; None without a test.
    image_shape
        Height and width, in pixels.
    finished
        Whether it is the end of the run, and not of `--stop-after`.
    rows, seconds, speed
        Rows trained on, seconds of training, rows a second.
    prequential
        None if rows are trained on more than once.
    answered
        Units computed, by worker.
    reissued, compared
        Units given to a second worker; second answers that were compared with the first.
    versions
        Of ddmlp and the libraries; see `versions`.
    worker_deaths, server_deaths
        How many processes have ended by themselves. None if they cannot: all is one process.
    workers_lost
        Workers that had to be replaced, by cause: exited, unresponsive, rejected. None as above.
    workers
        The most that there might be.
    """

    weights_sha256: Sha256
    chain: Digest
    test_error: Fraction | None = None
    test_cross_entropy: Real | None = None
    test_rows: Positive | None = None
    image_shape: tuple[Side, Side]
    steps: Count
    finished: bool
    rows: Count
    epochs: Count
    seconds: Amount
    speed: Amount
    staleness: RunStaleness
    prequential: PrequentialError | None = None
    dataset_sha256: Sha256
    answered: dict[Count, Count]
    reissued: Count
    compared: Count
    versions: dict[str, str]
    worker_deaths: Count | None = None
    workers_lost: dict[str, Count] | None = None
    server_deaths: Count | None = None
    workers: Count
    seed: Annotated[int, Meta(ge=0)]
