"""The result of a run: result.json."""

from typing import Annotated

from msgspec import Meta, Struct

from ddmlp.runs.json_text import Amount, Count, Digest, Fraction, Moment, Positive, Real, Sha256
from ddmlp.runs.measures import PrequentialError

Side = Annotated[int, Meta(ge=1, le=2**24)]  # of an image, in pixels


class RunStaleness(Struct, frozen=True):
    """The staleness of all updates; see `Staleness`. bound, delay: the settings `--staleness` and `--delay`."""

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
    """The result of a run.

    Parameters
    ----------
    weights_sha256
        SHA-256 of the weights: of the little-endian float32 parameters, row by row, W1 first.
    chain
        Digest of the last entry of the hash chain.
    test_error, test_cross_entropy, test_rows
        Misclassified fraction of the test rows, their mean error E in nats, and their number; None without a test.
    image_shape
        Height and width, in pixels.
    steps
        Steps applied.
    finished
        Whether the run reached its end; False if `--stop-after` ended it earlier.
    rows, epochs
        Rows trained on, and epochs completed.
    seconds, speed
        Seconds of training, without tests, checkpoints and waits for rows; rows per second.
    staleness
        Of all updates.
    prequential
        None if rows are trained on more than once.
    dataset_sha256
        Fingerprint of the training data.
    answered
        Units computed since the last start, by each worker that is connected at the end.
    reissued, compared
        Units given to a second worker, and second answers that were compared with the first.
    versions
        Versions of ddmlp and of the libraries; see `versions`.
    worker_deaths, server_deaths
        Processes that ended without being asked to; None if all is one process.
    workers_lost
        Workers that had to be replaced, by cause: exited, unresponsive, rejected. None if all is one process.
    stored, not_stored
        The step of the newest checkpoint in the store, and why a newer one is not there; None if there is no store.
    workers
        The largest number of workers that the run could have; 0 if all is one process.
    servers
        The servers that the weights were divided among.
    bad_rows
        Rows of the stream that were put aside, because they could not be decoded; None if it has no positions.
    trained_to
        Event time of the newest message of which all rows were trained on, to within a shard; None if it is not known.
    seed
        The seed of the initial weights and of the order of rows.
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
    stored: Count | None = None
    not_stored: str | None = None
    workers: Count
    servers: Positive = 1
    bad_rows: Count | None = None
    trained_to: Moment | None = None
    seed: Annotated[int, Meta(ge=0)]
