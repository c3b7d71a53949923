"""Show distortions of images: ddmlp augment --show OUT.png DATA"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ddmlp.cli.terminal import Parser, command
from ddmlp.config import TrainConfig
from ddmlp.data.manifest import NAME
from ddmlp.errors import ConfigError
from ddmlp.nn.augmentation import KINDS, Augmentation

if TYPE_CHECKING:  # which --help does not wait for
    import numpy as np
    from numpy.typing import NDArray

IMAGES, EPOCHS = 12, 11
MEASURED, TIMES = 4_000, 5  # rows, and how often


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="ddmlp augment",
        description="Draw training images beside what `ddmlp train --augment` makes of them in the first epochs.",
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="a dataset, or a folder with train/")
    parser.add_argument("--show", type=Path, metavar="OUT.png", required=True, help="the picture to write: a line for "
                        "each image, which is in its first column")  # fmt: skip
    parser.add_argument("--augment", default="elastic", metavar="KIND", help=f"{', '.join(KINDS)}, or "
                        "KIND:NAME=NUMBER,... (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the run (default: %(default)s)")
    return parser.parse_args(arguments)


def cost(apply: "Callable[[NDArray[np.intp]], object]", rows: "NDArray[np.intp]") -> float:
    """The least CPU time of this thread that a call takes, in seconds a row."""
    times = []
    for _ in range(TIMES):
        began = time.thread_time()
        apply(rows)
        times.append(time.thread_time() - began)
    return min(times) / len(rows)


def main(arguments: list[str] | None = None) -> None:
    args = parse(arguments)
    if args.show.suffix.lower() != ".png":
        raise ConfigError(f"--show is {args.show}, expected the name of a .png file")
    augment = Augmentation.of(args.augment).text
    TrainConfig(seed=args.seed, augment=augment)  # checks the seed
    import numpy as np

    from ddmlp.data.dataset import Dataset
    from ddmlp.files import write_whole
    from ddmlp.reporting.contact_sheet import contact_sheet
    from ddmlp.training.pixel_stage import PixelStage

    dataset = Dataset(args.data if (args.data / NAME).exists() else args.data / "train")
    stage, rows = PixelStage(None, dataset, args.seed, augment), np.arange(min(IMAGES, len(dataset)))
    columns = [dataset.gather(rows)[0], *(stage.apply(rows, epoch) for epoch in range(EPOCHS))]
    seconds = cost(lambda rows: stage.apply(rows, 0), np.arange(len(dataset))[:MEASURED])
    images = np.stack(columns, axis=1).reshape(len(rows), len(columns), *dataset.manifest.image_shape)
    write_whole(args.show, contact_sheet(images))
    print(f"augment         {augment}")
    print(f"cost            {1e6 * seconds:.1f} microseconds a row, of one core")
    print(f"picture         {args.show}")


if __name__ == "__main__":
    command(main)
