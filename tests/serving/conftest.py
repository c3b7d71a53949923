"""The servers that the tests share, and their pages in a browser."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ddmlp.data.convert import find_pairs
from ddmlp.data.idx import read_idx
from tests.support.servers import Server, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

DRAWN = {"width": 1_100, "height": 900}


@pytest.fixture(scope="package")
def server(trained: Path) -> Iterator[Server]:
    """A server with the model of `trained`."""
    with serving("--model", trained) as found:
        yield found


@pytest.fixture(scope="package")
def run_server(trained: Path) -> Iterator[Server]:
    """A server that shows the run `trained`."""
    with serving("--run", trained) as found:
        yield found


@pytest.fixture(scope="package")
def digits(sample: Path) -> np.ndarray:
    """Real digits of the test set, (40, 28, 28)."""
    return read_idx(find_pairs(sample)[1].images)[:40]


@pytest.fixture(scope="package")
def digit_of(sample: Path) -> dict[int, np.ndarray]:
    """The first digit of each class in the test set, (28, 28)."""
    images, labels = (read_idx(path) for path in find_pairs(sample)[1])
    return {digit: images[int(np.flatnonzero(labels == digit)[0])] for digit in range(10)}


def serious(said: "ConsoleMessage") -> bool:
    """Whether a message is serious. A browser also reports each answer of status 422, which the page shows."""
    return said.type in ("error", "warning") and "status of 422" not in said.text


@pytest.fixture
def opened(browser: "Browser") -> "Iterator[Callable[..., Page]]":
    """Opens pages of a server. Afterwards, asserts that none logged an error or contacted another server."""
    complaints: list[str] = []
    asked: set[str] = set()
    contexts: list[BrowserContext] = []
    own: set[str] = set()

    def open_(server: Server, path: str = "", **how: object) -> "Page":
        own.add(server.url)
        context = browser.new_context(**{"viewport": DRAWN, **how})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if serious(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.add(request.url))
        page.goto(server.url + path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert complaints == []
    assert own
    assert all(url.startswith((*own, "data:")) for url in asked), asked
