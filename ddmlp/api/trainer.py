"""A run's job, checked, and its trainer: in this process, or on Ray."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ddmlp.api.options import Options
from ddmlp.config import TrainConfig
from ddmlp.data.dataset import Dataset
from ddmlp.data.manifest import Manifest
from ddmlp.data.transform import Transform
from ddmlp.errors import ConfigError
from ddmlp.nn.weights import Weights
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.training.job import Job
from ddmlp.training.pixel_stage import PixelStage
from ddmlp.training.setup import build_trainer
from ddmlp.training.trainer import Trainer

if TYPE_CHECKING:  # one process needs no Ray
    from ddmlp.ray_backend.driver_process import DriverProcess

    AnyTrainer: TypeAlias = Trainer | DriverProcess


def prepare_job(
    config: TrainConfig,
    data: Path,
    run: Run,
    options: Options = Options(),  # noqa: B008 - it cannot be changed
    *,
    resume: bool = False,
    init: Weights | None = None,
    transform: Transform | None = None,
) -> tuple[Job, Origin]:
    """Make the job of a run, and check it against its data and, if it is resumed, against the run.

    Parameters
    ----------
    data : Path
        A folder with the datasets train/ and, if there are test data, test/.
    resume : bool
        Whether the run has begun.
    init : Weights, optional
        The weights that the run begins with; their hash is in `config`.
    transform : Transform, optional
        What changes the pixels of its rows; its hash is in `config`. It is tried.

    Returns
    -------
    Job
    Origin
        Everything that the result is a function of.

    Raises
    ------
    ConfigError, DatasetError, RunError
        The settings, the data and the run do not fit together; or the transform is not a function of each row.
    MachineError
        The transform makes other pixels here than where the run was begun.
    """
    train = Manifest.read(data / "train")
    config.check_rows(train.rows)
    fewest, most = options.range
    job = Job(
        config,
        data,
        run.path.resolve(),
        most,
        options.checkpoint_every,
        options.keep,
        options.stop_after,
        options.idle_timeout,
        least=fewest,
        servers=options.servers,
        timeouts=options.timeouts,
        certificates=None if options.certificates is None else Path(options.certificates).absolute(),
        drift_alarm=options.drift_alarm,
        trace=options.trace,
    )
    if init is not None and init.shape != job.shape(train):
        raise ConfigError(f"init has the shape {init.shape}, but hidden and the data need {job.shape(train)}")
    test = Manifest.read(job.test) if job.test else train
    if test.image_shape != train.image_shape or test.classes > train.classes:
        raise ConfigError(
            f"{data}/test has images of {test.image_shape} in {test.classes} classes, but {data}/train has "
            f"{train.image_shape} in {train.classes}"
        )
    if transform is not None or config.augment:
        stage = PixelStage(transform, Dataset(data / "train"), config.seed, config.augment)
        transform = replace(transform, answer=stage.answer) if transform else None
        job = replace(job, transform=transform)
    origin = Origin.from_manifest(config, data, train, transform)
    if resume:
        run.require_origin(origin)
    return job, origin


@contextmanager
def open_trainer(
    job: Job,
    *,
    address: str | None = None,
    dashboard: bool = False,
    note: Callable[[str], None] = lambda _: None,
    stopping: Sequence[int] = (),
) -> "Iterator[AnyTrainer]":
    """Open the trainer of a job, in this process or on Ray, and close it at the end of the block.

    address, dashboard: see `Options`; note: called with lines for the user; stopping: receives the numbers of signals
    that ask to stop. Raises KeyboardInterrupt if one has arrived and Ray does not answer.
    """
    trainer: AnyTrainer
    if job.workers == 0:
        trainer = build_trainer(job)
    else:
        from ddmlp.nn.known_answer import check_arithmetic
        from ddmlp.ray_backend.driver_process import DriverProcess

        check_arithmetic()  # so that the kernels are compiled once, and not by each process of a node
        trainer = DriverProcess(job, address=address, dashboard=dashboard, note=note, stopping=stopping)
    with closing(trainer):
        yield trainer
