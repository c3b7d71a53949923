"""Download MNIST or Fashion-MNIST: four IDX files, gzip, each checked before it gets its name.

    python tools/fetch_mnist.py mnist
    python tools/fetch_mnist.py fashion --dataset fashion-mnist

A file is right when the SHA-256 of its uncompressed bytes is the pinned one: mirrors pack the same bytes differently.
A download that breaks off stays as NAME.part, and the next attempt, or the next run, goes on from there.

MNIST's digests were computed from the files themselves. Fashion-MNIST's were not: they are the values on which several
independent public projects agree, one of which derived them from archives with the MD5s that Zalando publishes.
"""

import gzip
import hashlib
import os
import sys
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from ddmlp.cli.terminal import Parser, command
from ddmlp.errors import ConfigError, DownloadError

DATASETS = {
    "mnist": {
        "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    "fashion-mnist": {
        "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    },
}
MIRRORS = {
    "mnist": [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ],
    "fashion-mnist": [
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ],
}
TIMEOUT = 20  # seconds, to connect and for each read
ATTEMPTS = 5  # a mirror, for a connection that breaks off
LIMIT = 64 << 20  # bytes, packed or not: the largest file has 45 MiB uncompressed
BLOCK = 1 << 16

OnProgress = Callable[[int, int | None], None]  # bytes received so far, bytes in all where the server says


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line; raises ConfigError for a bad --base-url, DownloadError when a file cannot be had."""
    parser = Parser(description="Download MNIST or Fashion-MNIST as four checked IDX files, gzip.")
    parser.add_argument("out", type=Path, metavar="OUT", help="folder for the files; made where there is none")
    parser.add_argument("--dataset", choices=DATASETS, default="mnist", help="default: mnist")
    parser.add_argument("--base-url", metavar="URL", help="where the files are, instead of the public mirrors")
    options = parser.parse_args(arguments)
    if options.base_url is not None and not options.base_url.startswith(("http://", "https://")):
        raise ConfigError(f"--base-url: found {options.base_url}, expected a URL with http:// or https://")
    mirrors = [options.base_url] if options.base_url else MIRRORS[options.dataset]
    fetch_dataset(options.out, DATASETS[options.dataset], mirrors)


def fetch_dataset(folder: Path, digests: Mapping[str, str], mirrors: Sequence[str], *, limit: int = LIMIT) -> None:
    """Have each file of `digests` (name: SHA-256 of the uncompressed bytes, in hex) in `folder`, and right.

    `limit` bounds the bytes of a file, packed and uncompressed. Raises DownloadError at the first file that no mirror
    delivers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    progress = Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with progress if progress.console.is_terminal else nullcontext():
        for name, digest in digests.items():
            path = folder / name
            if path.exists() and complaint(path, digest, limit) is None:
                print(f"{path}: already there")
                continue
            task = progress.add_task(name, total=None)
            source = fetch_file(path, digest, mirrors, limit, partial(show, progress, task))
            print(f"{path}: {path.stat().st_size:,} bytes from {source}")


def show(progress: Progress, task: TaskID, received: int, total: int | None) -> None:
    """An OnProgress for a bar; it can go backwards, when a download starts again."""
    progress.update(task, completed=received, total=total)


def fetch_file(path: Path, digest: str, mirrors: Sequence[str], limit: int, on_progress: OnProgress) -> str:
    """Download `path` from the first mirror that has it right, and return its URL there; each failure is said."""
    *others, last = [f"{mirror.rstrip('/')}/{path.name}" for mirror in mirrors]
    for url in others:
        try:
            fetch_from(url, path, digest, limit, on_progress)
            return url
        except DownloadError as error:
            print(f"{error}; trying the next source", file=sys.stderr)
    try:
        fetch_from(last, path, digest, limit, on_progress)
        return last
    except DownloadError as error:
        raise DownloadError(f"{error}; no source is left: try again later, or name one by --base-url") from None


def fetch_from(url: str, path: Path, digest: str, limit: int, on_progress: OnProgress) -> None:
    """Download `path` from one URL by way of `path`.part, which takes its name only when it is right.

    Raises DownloadError. A wrong download is removed; one that broke off is kept, to go on from.
    """
    part = path.with_name(f"{path.name}.part")
    for _ in range(ATTEMPTS):
        resumed = part.exists()
        if not receive(url, part, limit, on_progress):
            continue
        problem = complaint(part, digest, limit)
        if problem is None:
            part.replace(path)
            return
        part.unlink()
        # A part left by another mirror may be packed differently: then only the whole file from here can be right.
        if not resumed:
            raise DownloadError(f"{url}: {problem}; the download was removed")
    raise DownloadError(
        f"{url}: the connection broke off, {ATTEMPTS} attempts in all; {part.name} is kept to go on from"
    )


def receive(url: str, part: Path, limit: int, on_progress: OnProgress) -> bool:
    """Append to `part` what the server has beyond it, or all of it where the server ignores Range.

    Returns False when the connection broke off. Raises DownloadError when nothing useful can come from this URL.
    """
    have = part.stat().st_size if part.exists() else 0
    try:
        response = urlopen(Request(url, headers={"Range": f"bytes={have}-"} if have else {}), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and have:
            return True  # nothing lies beyond the part: its digest tells whether it is the file
        raise DownloadError(f"{url}: found HTTP status {error.code} ({error.reason}), expected the file") from None
    except (OSError, HTTPException) as error:
        raise DownloadError(f"{url}: no connection ({getattr(error, 'reason', error)})") from None
    with response:
        if response.status == 206 and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            part.unlink(missing_ok=True)  # not the bytes asked for: ask for the whole file
            return False
        received = have if response.status == 206 else 0
        total = None if response.length is None else received + response.length
        with part.open("ab" if received else "wb") as file:
            while True:
                try:
                    block = response.read(BLOCK)
                except (OSError, HTTPException):
                    return False
                received += len(block)
                if max(received, total or 0) > limit:
                    part.unlink()
                    raise DownloadError(f"{url}: found more than {limit:,} bytes, expected a smaller file")
                if not block:
                    file.flush()
                    os.fsync(file.fileno())
                    return total is None or received == total
                file.write(block)
                on_progress(received, total)


def complaint(path: Path, digest: str, limit: int) -> str | None:
    """What is wrong with a gzip file whose uncompressed bytes should have this SHA-256, or None."""
    sha256, size = hashlib.sha256(), 0
    try:
        with gzip.open(path) as file:
            while block := file.read(BLOCK):
                sha256.update(block)
                size += len(block)
                if size > limit:
                    return f"found more than {limit:,} bytes when uncompressed, expected a smaller file"
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"found damaged gzip data ({error}), expected a sound file"
    if sha256.hexdigest() != digest:
        return f"found the SHA-256 {sha256.hexdigest()} of the uncompressed bytes, expected {digest}"
    return None


if __name__ == "__main__":
    command(main)
