"""Recognise digits: ddmlp predict --model RUN_OR_NPZ FILE..."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.cli.terminal import MODELS, Parser, command, fail
from ddmlp.errors import DataError, ImageError, printable
from ddmlp.files import shown

if TYPE_CHECKING:  # which --help does not wait for
    import numpy as np
    from numpy.typing import NDArray

    from ddmlp.inference.committee import Committee
    from ddmlp.inference.images import Fit
    from ddmlp.inference.model import Model

MENTIONED = 0.01  # the least probability of a class that is listed


def images(
    path: Path, model: "Model | Committee", fit: "Fit"
) -> "Iterator[tuple[list[str], NDArray[np.uint8], Sequence[str]]]":
    """Read the images in a file, up to PREDICT_ROWS at a time, with their names and the changes to a picture; raises
    ImageError and IdxError."""
    from ddmlp.data.idx import IdxReader, is_idx
    from ddmlp.inference.images import read_image
    from ddmlp.inference.model import PREDICT_ROWS

    shape = model.image_shape
    if not is_idx(path):
        pixels, done = read_image(path, shape, model.look, fit)
        yield [str(path)], pixels[None], done
        return
    with IdxReader(path) as reader:
        if reader.shape[1:] != shape:
            raise ImageError(f"{path} has uint8 of shape {reader.shape}, but the model takes uint8 images of {shape}")
        for first, chunk in zip(range(0, len(reader), PREDICT_ROWS), reader.chunks(PREDICT_ROWS), strict=True):
            yield [f"{path}[{first + row}]" for row in range(len(chunk))], chunk, ()


def describe(
    probabilities: "NDArray[np.floating]", names: Sequence[str] | None = None, done: Sequence[str] = ()
) -> str:
    """Format the most probable class, others with at least MENTIONED, and the changes to a picture."""
    names = names or list(map(str, range(len(probabilities))))
    best, *others = (-probabilities).argsort(kind="stable").tolist()
    mentioned = [f"{names[other]}: {probabilities[other]:.1%}" for other in others if probabilities[other] >= MENTIONED]
    parts = [f"{names[best]}  {probabilities[best]:.1%}"]
    parts += [f"({', '.join(mentioned)})"] if mentioned else []
    parts += [f"[{', '.join(done)}]"] if done else []
    return "  ".join(parts)


def main() -> int:
    parser = Parser(prog="ddmlp predict", description="Recognise the digits in pictures.",
                    epilog="A picture is changed to look as the training images do, unless it does already; the "
                    "changes are listed in brackets. The exit status is 1 if a file cannot be recognised.")  # fmt: skip
    parser.add_argument("--model", required=True, **MODELS)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a picture of one digit (PNG, JPEG, GIF, "
                        "BMP, WebP, TIFF, AVIF), dark on light or light on dark; or an IDX file of images")  # fmt: skip
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--as-is", action="store_true", help="take the pixels of pictures as they are")
    how.add_argument(
        "--fit", action="store_true", help="change every picture, even one that looks as the training images do"
    )
    args = parser.parse_args()
    from ddmlp.inference.committee import load_models
    from ddmlp.inference.images import Fit

    model, status = load_models(args.model), 0
    fit = Fit.NEVER if args.as_is else Fit.ALWAYS if args.fit else Fit.AUTO
    for path in args.files:
        try:
            for names, lot, done in images(path, model, fit):
                for name, probabilities in zip(names, model.predict_proba(lot), strict=True):
                    print(f"{printable(shown(name))}  {describe(probabilities, model.class_names, done)}")
        except DataError as error:
            fail(str(error))
            status = error.exit_status
    return status


if __name__ == "__main__":
    command(main)
