"""The environment of a measurement: the machine, and the versions of what ran on it."""

import platform
import re
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from ddmlp.numerics import versions
from ddmlp.transport.socket_pool import CORES

Environment = dict[str, str | int]


def environment() -> Environment:
    """That of this process."""
    found: Environment = {"processor": _cpuinfo("model name") or "unknown", "cores": CORES}
    found |= {"system": f"{platform.system()} {platform.machine()}"} | versions()
    for peer in ("torch", "scikit-learn"):
        with suppress(metadata.PackageNotFoundError):
            found[peer] = metadata.version(peer)
    return found


def instructions() -> str:
    """The widest vector instructions of this processor, avx512 or avx2, else its kind."""
    flags = _cpuinfo("flags").split()
    wide = {"avx512f": "avx512", "avx2": "avx2"}
    return next((name for flag, name in wide.items() if flag in flags), platform.machine())


def in_words(found: Environment) -> str:
    """The environment in a sentence."""
    machine = f"{found['processor']}, {found['cores']} cores, {found['system']}"
    named = {name: version for name, version in found.items() if name not in ("processor", "cores", "system")}
    return f"{machine}; {', '.join(f'{name} {version}' for name, version in named.items())}."


def _cpuinfo(name: str) -> str:
    """What Linux says of the first processor; elsewhere nothing."""
    with suppress(OSError):
        if found := re.search(rf"^{name}\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE):
            return found[1]
    return ""
