"""Files of other formats than expected."""

import io
import tarfile
import zipfile
from collections.abc import Callable


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    write(out := io.BytesIO())
    return out.getvalue()


def zipped(name: str) -> bytes:
    return written(lambda out: zipfile.ZipFile(out, "w").writestr(name, "x"))


def tarred(name: str) -> bytes:
    return written(lambda out: tarfile.open(fileobj=out, mode="w").addfile(tarfile.TarInfo(name)))
