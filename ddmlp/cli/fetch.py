"""Download MNIST or Fashion-MNIST, four IDX files, gzip: ddmlp fetch OUT"""

import argparse
import sys
from pathlib import Path

from ddmlp.cli.terminal import Parser, bar, command
from ddmlp.data.mnist import DATASETS, MIRRORS, fetch_file, has_digest
from ddmlp.errors import ConfigError


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = Parser(
        prog="ddmlp fetch",
        description="Download MNIST or Fashion-MNIST: four IDX files, gzip, compared with known hashes.",
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the files, created if it does not exist")
    parser.add_argument("--dataset", choices=DATASETS, default="mnist", help="which one (default: %(default)s)")
    parser.add_argument(
        "--base-url", metavar="URL", help="URL of a folder with the files, instead of the public mirrors"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; raises ConfigError for a bad --base-url, DownloadError if a file cannot be downloaded."""
    args = parse(arguments)
    if args.base_url is not None and not args.base_url.startswith(("http://", "https://")):
        raise ConfigError(f"--base-url: found {args.base_url}, expected a URL with http:// or https://")
    mirrors = [args.base_url] if args.base_url else MIRRORS[args.dataset]
    args.out.mkdir(parents=True, exist_ok=True)
    for name, digest in DATASETS[args.dataset].items():
        path = args.out / name
        if has_digest(path, digest):
            print(f"{path}: already there")
            continue
        with bar(name, "bytes") as progress:
            url = fetch_file(path, digest, mirrors, progress, report_failure)
        print(f"{path}: {path.stat().st_size:,} bytes from {url}")


def report_failure(why: str) -> None:
    print(f"{why}; trying the next source", file=sys.stderr)


if __name__ == "__main__":
    command(main)
