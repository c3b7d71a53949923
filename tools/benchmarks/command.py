"""The command: measures chapter after chapter, and writes the page."""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ddmlp.cli.terminal import Parser
from ddmlp.data.manifest import NAME
from ddmlp.errors import ConfigError
from tools.benchmarks import page, record
from tools.benchmarks.chapter import Chapter, Setting
from tools.benchmarks.conditions import conditions
from tools.benchmarks.contents import CHAPTERS


def main(arguments: Sequence[str] | None = None, chapters: Sequence[Chapter] = CHAPTERS) -> None:
    """The command line; raises ConfigError for flags that cannot work, and what the chapters raise."""
    names = [chapter.name for chapter in chapters]
    parser = Parser(description="Measure ddmlp beside its peers; write benchmarks.json and benchmarks.md.")
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder with train/ and test/")
    parser.add_argument("--only", nargs="*", choices=names, default=names, metavar="NAME", help="measure these "
                        f"chapters, or none, and keep the others from {record.NAME}: {', '.join(names)}")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="of each figure (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=3.0, metavar="S", help="for which a contestant is timed, "
                        "about (default: %(default)s)")  # fmt: skip
    parser.add_argument("--mnist", type=Path, metavar="FOLDER", help="with MNIST's IDX files, for what reads them")
    parser.add_argument("--out", type=Path, default=Path("docs"), metavar="FOLDER", help="for the page (default: "
                        "%(default)s)")  # fmt: skip
    args = parser.parse_args(arguments)
    if args.repeats < 1 or not args.seconds > 0:
        raise ConfigError(
            f"--repeats is {args.repeats} and --seconds {args.seconds:g}, expected 1 or more, and above 0"
        )
    for part in ("train", "test"):
        if not (args.data / part / NAME).exists():
            raise ConfigError(f"{args.data} has no dataset {part}/; expected the folder that tools/idx2arrow.py wrote")
    args.out.mkdir(parents=True, exist_ok=True)
    entries = record.read(args.out)
    here = conditions()
    for chapter in chapters:
        if chapter.name not in args.only:
            continue
        print(chapter.title, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as scratch:
            mnist = args.mnist and args.mnist.resolve()
            setting = Setting(args.data.resolve(), args.repeats, args.seconds, Path(scratch), mnist)
            entries[chapter.name] = record.Entry(here, args.repeats, chapter.measure(setting))
        record.write(args.out, entries)  # at once: what took minutes outlives what fails later
    page.write(args.out, chapters, entries)
    print(args.out / page.NAME)
