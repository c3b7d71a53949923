"""Recognise digits: python -m ddmlp.predict --model RUN_OR_NPZ FILE..."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.cli.terminal import Parser, command
from ddmlp.errors import ImageError

if TYPE_CHECKING:  # --help need not wait for it
    import numpy as np
    from numpy.typing import NDArray

MENTIONED = 0.01  # a class less probable than that is not mentioned


def images(path: Path, shape: tuple[int, int]) -> "Iterator[tuple[list[str], NDArray[np.uint8]]]":
    """The images in a file with their names, up to PREDICT_ROWS at a time; raises ImageError and IdxError."""
    from ddmlp.data.idx import IdxReader, is_idx
    from ddmlp.inference.images import read_image
    from ddmlp.inference.model import PREDICT_ROWS

    if not is_idx(path):
        yield [str(path)], read_image(path, shape)[None]
        return
    with IdxReader(path) as reader:
        if reader.shape[1:] != shape:
            raise ImageError(f"{path} has uint8 of shape {reader.shape}, but the model takes uint8 images of {shape}")
        for first, chunk in zip(range(0, len(reader), PREDICT_ROWS), reader.chunks(PREDICT_ROWS), strict=True):
            yield [f"{path}[{first + row}]" for row in range(len(chunk))], chunk


def describe(probabilities: "NDArray[np.floating]") -> str:
    """The most probable class with its probability, and the others worth mentioning."""
    best, *others = (-probabilities).argsort(kind="stable").tolist()
    mentioned = [f"{other}: {probabilities[other]:.1%}" for other in others if probabilities[other] >= MENTIONED]
    return f"{best}  {probabilities[best]:.1%}" + (f"  ({', '.join(mentioned)})" if mentioned else "")


def main() -> None:
    parser = Parser(prog="python -m ddmlp.predict", description="Recognise digits in images.")
    parser.add_argument("--model", type=Path, required=True, help="a run's folder, or an .npz file with W1 and W2")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a picture of one digit (PNG, JPEG, GIF, "
                        "BMP), dark on light or light on dark; or an IDX file of images")  # fmt: skip
    args = parser.parse_args()
    from ddmlp.inference.model import load_model

    model = load_model(args.model)
    for path in args.files:
        for names, lot in images(path, model.image_shape):
            for name, probabilities in zip(names, model.predict(lot), strict=True):
                print(f"{name}  {describe(probabilities)}")


if __name__ == "__main__":
    command(main)
