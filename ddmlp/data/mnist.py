"""MNIST and Fashion-MNIST: their mirrors, and the SHA-256 of their files.

The SHA-256 is that of the uncompressed bytes, because mirrors compress the same bytes differently. MNIST's digests were
computed from the files. Fashion-MNIST's digests are those on which several independent public projects agree; one of
them computed its own from archives that have the MD5s that Zalando publishes.
"""

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.request import urlopen

from ddmlp.data.signatures import BEGIN, kind_of
from ddmlp.errors import DownloadError, reason_of
from ddmlp.files import write_whole

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
ATTEMPTS = 3  # per mirror, if the connection breaks off
MAX_BYTES = 64 << 20  # per file, compressed or not; the largest has 45 MiB uncompressed
BLOCK_BYTES = 1 << 16

ByteProgress = Callable[[int, int | None], None]  # bytes received so far, total bytes if known


def has_digest(path: Path, digest: str) -> bool:
    """Whether the file exists and its uncompressed bytes have this SHA-256."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return _problem(file, digest) is None


def fetch_file(
    path: Path, digest: str, mirrors: Sequence[str], progress: ByteProgress, on_failure: Callable[[str], None]
) -> str:
    """Download a file atomically from the first mirror that delivers it with the expected SHA-256.

    Parameters
    ----------
    path : Path
        Where to write it; its name is that on the mirrors.
    digest : str
        SHA-256 of the uncompressed bytes, in hexadecimal.
    mirrors : sequence of str
        URLs of folders, at least one.
    progress : callable
        Called with the number of bytes received, and the total or None. The first number decreases if a download
        starts over.
    on_failure : callable
        Called with the reason when a mirror other than the last one fails.

    Returns
    -------
    str
        The URL of the file.

    Raises
    ------
    DownloadError
        No mirror delivered the file.
    """
    *others, last = [f"{mirror.rstrip('/')}/{path.name}" for mirror in mirrors]
    for url in others:
        try:
            write_whole(path, _download(url, digest, progress))
            return url
        except DownloadError as error:
            on_failure(str(error))
    try:
        write_whole(path, _download(last, digest, progress))
    except DownloadError as error:
        raise DownloadError(
            f"{error}; this was the last mirror: try again later, or name another one with --base-url"
        ) from None
    return last


def _download(url: str, digest: str, progress: ByteProgress) -> bytes:
    """Return the compressed bytes at a URL; raises DownloadError if they are not the expected ones."""
    for _ in range(ATTEMPTS):
        if (content := _receive(url, progress)) is not None:
            if problem := _problem(io.BytesIO(content), digest):
                raise DownloadError(f"{url}: {problem}")
            return content
    raise DownloadError(f"{url}: the connection broke off in each of {ATTEMPTS} attempts")


def _receive(url: str, progress: ByteProgress) -> bytes | None:
    """Return what the server sends; None if the connection breaks off. Raises DownloadError if retrying is futile."""
    try:
        response = urlopen(url, timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        raise DownloadError(f"{url}: found HTTP status {error.code} ({error.reason}), expected the file") from None
    except (OSError, HTTPException) as error:
        raise DownloadError(f"{url}: cannot connect ({reason_of(error)})") from None
    with response:
        total: int | None = response.length
        content = bytearray()
        while True:
            try:
                block = response.read(BLOCK_BYTES)
            except (OSError, HTTPException):
                return None
            content += block
            if max(len(content), total or 0) > MAX_BYTES:
                raise DownloadError(f"{url}: found more than {MAX_BYTES:,} bytes, expected a smaller file")
            if not block:
                return bytes(content) if total in (None, len(content)) else None
            progress(len(content), total)


def _problem(packed: BinaryIO, digest: str) -> str | None:
    """Describe what is wrong with gzip data whose uncompressed bytes should have this SHA-256; None if nothing is."""
    sha256, size = hashlib.sha256(), 0
    kind = kind_of(packed.read(BEGIN))
    packed.seek(0)
    if kind != "gzip data":
        return f"found {kind or 'other data'}, expected gzip data"
    try:
        with gzip.open(packed) as file:
            while block := file.read(BLOCK_BYTES):
                sha256.update(block)
                size += len(block)
                if size > MAX_BYTES:
                    return f"found more than {MAX_BYTES:,} bytes when uncompressed, expected a smaller file"
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        return f"found damaged gzip data ({error}), expected an intact file"
    if sha256.hexdigest() != digest:
        return f"found the SHA-256 {sha256.hexdigest()} of the uncompressed bytes, expected {digest}"
    return None
