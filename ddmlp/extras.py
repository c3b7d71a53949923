"""Packages that only some commands need: the extras of pyproject.toml."""

from collections.abc import Iterator
from contextlib import contextmanager

from ddmlp.errors import ConfigError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """What is imported in the block comes with the extra `name`; raises ConfigError where it is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"this needs the package {error.name}, which is not installed; install it with: pip install 'ddmlp[{name}]'"
        ) from None
