"""Recognise digits: python -m ddmlp.predict --model RUN_OR_NPZ FILE..."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ddmlp.errors import ImageError
from ddmlp.idx import IdxReader, is_idx
from ddmlp.images import read_image
from ddmlp.inputs import Loader
from ddmlp.model import Model, load_model
from ddmlp.network import Network
from ddmlp.numerics import pin
from ddmlp.terminal import Parser, command

ROWS = 100  # at a time
MENTIONED = 0.01  # a class less probable than that is not mentioned

Pixels = NDArray[np.uint8]


class Recogniser:
    """A model, ready to recognise images."""

    def __init__(self, model: Model) -> None:
        pin()
        self._model = model
        dtype = model.weights.flat.dtype
        self._network = Network(model.weights.shape, ROWS, dtype)
        self._loader = Loader(ROWS, model.weights.shape.inputs, dtype)

    def __call__(self, images: Pixels) -> NDArray[np.floating]:
        """The probability of each class: images (B, height, width) uint8 in, (B, classes) out, B at most ROWS."""
        x, live = self._loader.load(images.reshape(len(images), -1))
        return self._network.forward(self._model.weights, x, live).copy()


def images(path: Path, shape: tuple[int, int]) -> Iterator[tuple[list[str], Pixels]]:
    """The images in a file with their names, up to ROWS at a time; raises ImageError and IdxError."""
    if not is_idx(path):
        yield [str(path)], read_image(path, shape)[None]
        return
    with IdxReader(path) as reader:
        if reader.dtype != np.uint8 or reader.shape[1:] != shape:
            raise ImageError(
                f"{path} has {reader.dtype} of shape {reader.shape}, but the model takes uint8 images of {shape}"
            )
        for first, chunk in zip(range(0, len(reader), ROWS), reader.chunks(ROWS), strict=True):
            yield [f"{path}[{first + row}]" for row in range(len(chunk))], chunk


def describe(probabilities: NDArray[np.floating]) -> str:
    """The most probable class with its probability, and the others worth mentioning."""
    best, *others = np.argsort(-probabilities, kind="stable").tolist()
    mentioned = [f"{other}: {probabilities[other]:.1%}" for other in others if probabilities[other] >= MENTIONED]
    return f"{best}  {probabilities[best]:.1%}" + (f"  ({', '.join(mentioned)})" if mentioned else "")


def main() -> None:
    parser = Parser(prog="python -m ddmlp.predict", description="Recognise digits in images.")
    parser.add_argument("--model", type=Path, required=True, help="a run's folder, or an .npz file with W1 and W2")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a picture of one digit (PNG, JPEG, GIF, "
                        "BMP), dark on light or light on dark; or an IDX file of images")  # fmt: skip
    args = parser.parse_args()
    model = load_model(args.model)
    recognise = Recogniser(model)
    for path in args.files:
        for names, lot in images(path, model.image_shape):
            for name, probabilities in zip(names, recognise(lot), strict=True):
                print(f"{name}  {describe(probabilities)}")


if __name__ == "__main__":
    command(main)
