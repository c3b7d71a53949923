"""The contestants by name. One that is optional is imported only when it is asked for."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from tools.benchmarks.chapter import installed

ROSTER = {
    "bound": ("bound", "Bound", ()),
    "dense": ("dense", "Dense", ()),
    "pytorch": ("pytorch", "PyTorch", ("torch",)),
    "scikit": ("scikit", "Scikit", ("sklearn",)),
}


def available(name: str) -> bool:
    """Whether what this contestant needs is installed."""
    return installed(*ROSTER[name][2])


def contestant(name: str) -> Callable[..., Any]:
    """Its class: see Contestant."""
    module, kind, _ = ROSTER[name]
    found: Callable[..., Any] = getattr(import_module(f"tools.benchmarks.peers.{module}"), kind)
    return found
