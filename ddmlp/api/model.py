"""Trained models: loaded, and tested."""

import tempfile
from pathlib import Path
from typing import Any, overload

from ddmlp.api.converted_rows import dataset_folder
from ddmlp.api.dataset import Dataset
from ddmlp.data.convert import convert
from ddmlp.data.dataset import Dataset as MappedDataset
from ddmlp.data.sources.in_memory import RowsInMemory
from ddmlp.data.sources.ray_dataset import RayDataset
from ddmlp.errors import ConfigError, RunError
from ddmlp.files import as_path
from ddmlp.inference.committee import Committee
from ddmlp.inference.evaluation import EVALUATE_ROWS, Evaluation, evaluate_rows, sizes
from ddmlp.inference.evaluation import evaluate as evaluate_dataset
from ddmlp.inference.model import Model
from ddmlp.inference.saved_model import load_model, load_shape, load_weights
from ddmlp.nn.weights import Weights

FORMS = "a folder, a pair (images, labels), a pyarrow Table, a Dataset, or a dataset of Ray Data"
Paths = list[str] | list[Path] | list[str | Path]
FILE = "the path of a run's folder or an .npz file"


@overload
def load(path: str | Path) -> Model: ...


@overload
def load(path: Paths) -> Committee: ...


def load(path: str | Path | Paths) -> Model | Committee:
    """Load a trained model, or several as a committee.

    Parameters
    ----------
    path : str, Path, or list of them
        The folder of a run, or an .npz file with W1 and W2 or with a checkpoint; or a list of them.

    Returns
    -------
    Model or Committee
        A committee for a list: its probabilities are the mean of its members'.

    Raises
    ------
    RunError
        There is no model, or it is damaged.
    ConfigError
        The models of a list do not fit each other.

    Examples
    --------
    >>> import ddmlp
    >>> ddmlp.load("no/such/run")
    Traceback (most recent call last):
    ddmlp.errors.RunError: no/such/run cannot be read: No such file or directory
    """
    if isinstance(path, list):
        return Committee(tuple(load_model(as_path(each, "path", FILE)) for each in path))
    return load_model(as_path(path, "path", f"{FILE}, or a list of them"))


def evaluate(model: Model | Committee | str | Path | Paths, data: Any) -> Evaluation:
    """Test a model on a dataset.

    Parameters
    ----------
    model : Model, Committee, str, Path, or list of paths
        A model, or what `load` takes.
    data : str, Path, pair of arrays, pyarrow Table, Dataset, or ray.data.Dataset
        A dataset or a folder with the dataset test/; or images (rows, height, width) and labels (rows,), both uint8; or
        a table or a dataset of Ray Data with the columns `pixels` and `label`.

    Returns
    -------
    Evaluation
        `confusion`, `error`, `cross_entropy`, `mistakes` and `rows`: the same bits on every machine.

    Raises
    ------
    RunError, DatasetError, ConfigError
        The model or the data cannot be read, or they do not fit each other.

    Examples
    --------
    >>> import numpy as np
    >>> import ddmlp
    >>> from ddmlp.nn.weights import Shape, Weights
    >>> model = ddmlp.Model(Weights.draw(Shape(16, 3, 2), seed=1), image_shape=(4, 4))
    >>> images, labels = np.zeros((64, 4, 4), np.uint8), np.arange(64) % 2
    >>> ddmlp.evaluate(model, (images, labels)).error
    0.5
    """
    shape: tuple[int, int] | None
    tested: Weights | Committee
    if isinstance(model, list):
        model = load(model)
    if isinstance(model, Model | Committee):
        tested, shape = model.weights if isinstance(model, Model) else model, model.image_shape
    else:
        path = as_path(model, "model", f"a Model, a Committee, {FILE}, or a list of them")
        tested, shape = load_weights(path), load_shape(path)
    if isinstance(data, Dataset):
        data = data.path
    if isinstance(data, str | Path):
        dataset = MappedDataset(dataset_folder(as_path(data, "data", FORMS)))
        _check_shape(shape, dataset.manifest.image_shape, str(dataset.path))
        dataset.verify()
        return evaluate_dataset(tested, dataset)
    if source := RayDataset.of(data, "data"):
        with tempfile.TemporaryDirectory(prefix="ddmlp-") as folder:
            convert({Path(folder, "rows"): source})
            dataset = MappedDataset(Path(folder, "rows"))
            _check_fit(tested, shape, dataset.manifest.image_shape, dataset.manifest.classes)
            return evaluate_dataset(tested, dataset)
    rows = RowsInMemory.of(data, "data")
    if rows is None:
        raise ConfigError(f"data is a {type(data).__name__}, expected {FORMS}")
    _check_fit(tested, shape, rows.image_shape, rows.count_classes())
    lots = rows.batches(sizes(tested)[1], EVALUATE_ROWS)
    return evaluate_rows(tested, ((pixels.reshape(len(labels), -1), labels) for pixels, labels in lots))


def _check_fit(
    model: Weights | Committee, expected: tuple[int, int] | None, found: tuple[int, int], classes: int
) -> None:
    """Raise RunError if the model does not fit data with images of the shape `found` in this number of classes."""
    _check_shape(expected, found, "data")
    (height, width), (inputs, outputs) = found, sizes(model)
    if height * width != inputs or classes > outputs:
        raise RunError(
            f"the model has {inputs} inputs and {outputs} classes, but data has images of "
            f"{height} x {width} pixels in {classes} classes"
        )


def _check_shape(expected: tuple[int, int] | None, found: tuple[int, int], name: str) -> None:
    """Raise RunError if the images have another shape than those of the model, even with as many pixels."""
    if expected is not None and found != expected:
        raise RunError(
            f"the model takes images of {expected[0]} x {expected[1]} pixels, but {name} has images of {found[0]} x "
            f"{found[1]}"
        )
