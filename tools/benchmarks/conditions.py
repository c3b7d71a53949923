"""The conditions of a measurement: the machine, and the versions of what ran on it."""

import platform
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from ddmlp.numerics import versions
from ddmlp.transport.socket_pool import CORES

Conditions = dict[str, str | int]
PEERS = ("torch", "scikit-learn")


def conditions() -> Conditions:
    """Those of this process."""
    here: Conditions = {
        "processor": processor(),
        "cores": CORES,
        "system": f"{platform.system()} {platform.machine()}",
    }
    return {**here, **versions(), **{name: version for name in PEERS if (version := installed_version(name))}}


def processor() -> str:
    """The processor's name, as the system calls it."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def shown(found: Conditions) -> str:
    """In a sentence."""
    named = {name: version for name, version in found.items() if name not in ("processor", "cores", "system")}
    others = ", ".join(f"{name} {version}" for name, version in named.items())
    return f"{found['processor']}, {found['cores']} cores, {found['system']}; {others}."
