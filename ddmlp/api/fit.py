"""fit: trains a new run."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ddmlp.api.callback import Callback, checked
from ddmlp.api.options import MAX_BAD_ROWS, Options, check_switches
from ddmlp.api.progress import RunProgress
from ddmlp.api.result import Result
from ddmlp.api.rows import rows_of
from ddmlp.api.run import new_run, resume_call, settings
from ddmlp.api.session import Session
from ddmlp.api.transform import transform_of
from ddmlp.data.sources.registry import is_stream
from ddmlp.files import as_path
from ddmlp.inference.model import Model
from ddmlp.inference.saved_model import load_weights
from ddmlp.nn.weights import Weights


def fit(
    data: Any,
    *,
    test: Any = None,
    run: str | Path | None = None,
    workers: int | tuple[int, int] = 0,
    servers: int = 1,
    address: str | None = None,
    dashboard: bool = False,
    init: Model | Weights | str | Path | None = None,
    transform: Callable[..., Any] | str | None = None,
    classes: int | None = None,
    callbacks: Iterable[Callback] = (),
    progress: bool | None = None,
    checkpoint_every: int = 10_000,
    keep: int = 3,
    checkpoint_uri: str | None = None,
    stop_after: int | None = None,
    report: bool = False,
    idle_timeout: float = math.inf,
    quarantine: str | Path | None = None,
    max_bad_rows: int = MAX_BAD_ROWS,
    spool_bytes: int | None = None,
    drift_alarm: bool = False,
    trace: bool = False,
    certificates: str | Path | None = None,
    **config: Any,
) -> Result:
    """Train a network on a new run.

    The result depends on the data and on the settings, and on nothing else: not on the number of workers, the machine,
    interruptions or faults. Ctrl-C, and interrupting a notebook's cell, write a checkpoint first; see `resume`.

    Parameters
    ----------
    data : str, Path, pair of arrays, pyarrow Table, Dataset, or ray.data.Dataset
        A folder with the datasets train/ and test/, as `ddmlp convert` or `DatasetWriter` writes them; images (rows,
        height, width) and labels (rows,), integers from 0 to 255; a table, or a dataset of Ray Data, with the columns
        `pixels` and `label`; a Dataset; a file or a folder of another kind that `ddmlp convert` takes, such as Parquet,
        .npz, CSV or pictures, as a path or a URI; or the URI of a stream, for example "-" or "redis://HOST/STREAM".
        What is in no such folder is first written into the run's folder, as a dataset.
    test : pair of arrays, pyarrow Table, str, Path, Dataset, or ray.data.Dataset, optional
        The test data, if `data` is in memory, in Ray Data or in files; or the path of a dataset.
    run : str or Path, optional
        The folder of the run, a new one; by default runs/DATE-TIME.
    workers : int or (int, int)
        Worker processes on Ray, or the fewest and the most; 0: all is computed in this process.
    servers : int
        Processes that the weights are divided among, on the nodes of the cluster; 1: no division.
    address : str, optional
        The Ray to use: HOST:PORT, "local" for a new one, or "auto" for one that runs. By default RAY_ADDRESS, then the
        Ray that this program is connected to, then one of yours that runs here, then a new one.
    dashboard : bool
        Whether a Ray that is started for the run has its dashboard.
    init : Model, Weights, str or Path, optional
        The weights to begin with, also as a run's folder or an .npz file; by default random ones, by the seed.
    transform : function or str, optional
        Changes the pixels of rows before they are trained on, in the workers: `f(pixels, rows, seed, epoch)` gets
        pixels (n, height, width) uint8, the numbers (n,) int64 of these rows in the training data, the run's seed, and
        the epoch, from 0; it returns as many pixels, uint8. It must be a function of each row alone. Or the place of
        such a function: "MODULE:FUNCTION" or "FILE.py:FUNCTION". Tests do not use it. See docs/data.md.
    classes : int, optional
        The number of classes, if the data are a stream (default: 10), or in memory or in files (default: 1 + the
        highest training label).
    callbacks : iterable of Callback
        Called while the run trains.
    progress : bool, optional
        Whether to show the progress; by default in a notebook and on a terminal.
    checkpoint_every : int
        Steps between checkpoints, in addition to the one at the end of each epoch.
    keep : int
        Checkpoints to keep.
    checkpoint_uri : str, optional
        A store that also gets the newest checkpoints, while the run trains: file:///FOLDER, s3://BUCKET/FOLDER,
        gs://BUCKET/FOLDER or abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER. `resume` continues the run from it
        on another machine.
    stop_after : int, optional
        The step to stop at, with a checkpoint and a model.
    report : bool
        Whether to write report.html into the run's folder.
    idle_timeout : float
        Seconds without a new row after which a run that follows its data ends.
    quarantine : str or Path, optional
        A folder, one for each run, for the rows of a stream that cannot be decoded; without it, the first such row is
        an error. Only for a stream in a broker.
    max_bad_rows : int
        The largest number of rows to put there.
    spool_bytes : int, optional
        Bytes of pixels of a stream that may wait on disk to be trained on: if there are more, the run stops reading.
    drift_alarm : bool
        Whether to record rises of the prequential error, of a run that trains once on each row: a line of
        `metrics.jsonl`, which callbacks get by `on_drift`. Needs the extra `drift`. It changes no weight.
    trace : bool
        Whether to record what each process does, in trace.json in the run's folder: a timeline for the report, the page
        of the run, and https://ui.perfetto.dev; see docs/trace.md. It changes no weight.
    certificates : str or Path, optional
        A folder, on every node, with ca.crt, tls.crt and tls.key, for TLS between nodes. By default the run makes its
        own.
    **config
        The settings that the result depends on, see `TrainConfig`: hidden, batch, microbatch, lr, lr_schedule, lr_half,
        lr_end, epochs, seed, window, staleness, staleness_lr, delay, follow, gradient_bits,
        augment.

    Returns
    -------
    Result

    Raises
    ------
    ConfigError
        A value is out of range, or two exclude each other; nothing has been written.
    DatasetError
        The data are damaged, or have another form.
    RunError
        The folder or the store holds a run already, or another process uses the folder.
    StoreError
        The store cannot be used when the run begins. Later, that is a warning, and in `result.record.not_stored`.
    TrainingError
        Training cannot continue, for example because the weights would not be finite.
    ClusterError
        Ray has failed. A note says how to continue the run.
    KeyboardInterrupt
        The run was interrupted. A note says how to continue it.

    Examples
    --------
    Train on 64 images of two classes, 4 x 4 pixels each:

    >>> import numpy as np
    >>> import ddmlp
    >>> labels = np.arange(64) % 2
    >>> images = np.random.default_rng(0).integers(0, 100, (64, 4, 4), np.uint8)
    >>> images[labels == 1, :2] += 150  # the upper half of the second class is lighter
    >>> result = ddmlp.fit((images, labels), test=(images, labels), run="runs/one", hidden=4, epochs=20)
    >>> result.steps, result.finished, result.test_error
    (160, True, 0.0)
    >>> result.model.predict(images[:4])
    array([0, 1, 0, 1])
    >>> ddmlp.verify(result.run).weights_sha256 == result.weights_sha256
    True

    Invert the images in every second epoch:

    >>> def invert(pixels, rows, seed, epoch):
    ...     return 255 - pixels if epoch % 2 else pixels
    >>> result = ddmlp.fit((images, labels), run="runs/inverted", transform=invert, hidden=4, epochs=20)
    >>> ddmlp.verify(result.run, transform=invert).weights_sha256 == result.weights_sha256
    True
    """
    options = Options(
        workers=workers,
        servers=servers,
        address=address,
        dashboard=dashboard,
        checkpoint_every=checkpoint_every,
        keep=keep,
        checkpoint_uri=checkpoint_uri,
        stop_after=stop_after,
        idle_timeout=idle_timeout,
        quarantine=quarantine,
        max_bad_rows=max_bad_rows,
        spool_bytes=spool_bytes,
        drift_alarm=drift_alarm,
        trace=trace,
        certificates=certificates,
    )
    check_switches(report=report, progress=False if progress is None else progress)
    weights, changed = _initial(init), transform_of(transform)
    stream = is_stream(data)
    chosen = settings(config, None, weights, changed, follow=stream)
    with new_run(run) as found:
        found.refuse_old()
        session = Session(
            run=found,
            rows=rows_of(data, test, found, classes, follow=chosen.follow and not stream),
            config=chosen,
            options=options,
            init=weights,
            transform=changed,
            callbacks=checked(callbacks),
            progress=RunProgress(quiet=None if progress is None else not progress),
            hint=lambda: resume_call(found.path, options, data if stream else None, changed),
        )
        return session.complete(report=report)


def _initial(init: Model | Weights | str | Path | None) -> Weights | None:
    if init is None or isinstance(init, Weights):
        return init
    if isinstance(init, Model):
        return init.weights
    return load_weights(as_path(init, "init", "a Model, Weights, or the path of a run or an .npz file"))
