"""The result of a run, which is result.json."""

from msgspec import Struct

from ddmlp.runs.measures import PrequentialError


class RunStaleness(Struct, frozen=True):
    """The staleness of all updates, as `Staleness` has it, and what the settings allowed: `--staleness`, `--delay`."""

    bound: int | str
    delay: int
    mean: float
    max: int
    histogram: dict[int, int]


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
        None if they cannot die: all is one process.
    workers
        The most that there might be.
    """

    weights_sha256: str
    chain: str
    test_error: float | None = None
    test_cross_entropy: float | None = None
    test_rows: int | None = None
    image_shape: tuple[int, int]
    steps: int
    finished: bool
    rows: int
    epochs: int
    seconds: float
    speed: float
    staleness: RunStaleness
    prequential: PrequentialError | None = None
    dataset_sha256: str
    answered: dict[int, int]
    reissued: int
    compared: int
    versions: dict[str, str]
    worker_deaths: int | None = None
    server_deaths: int | None = None
    workers: int
    seed: int
