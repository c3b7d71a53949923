"""What the tests in a browser do with a page. Playwright is imported late: the other tests do not need it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support.strokes import strokes

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

SECONDS = 30_000  # milliseconds, as Playwright has it


def expect(found: "Locator") -> Any:
    """Playwright's assertions about what is on a page."""
    from playwright.sync_api import expect

    return expect(found)


def draw(page: "Page", digit: np.ndarray) -> None:
    """Draw a digit with the mouse, in the middle half of the paper and larger than MNIST's."""
    box = page.locator("#pad").bounding_box()
    scale = box["width"] / 28
    for line in strokes(digit):
        points = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in line]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


@contextmanager
def answered(page: "Page") -> Iterator[None]:
    """Wait until what is done in the block has been answered, and the answer is shown."""
    expect(page.locator("#classes li").first).to_be_attached(timeout=SECONDS)  # it is ready
    yield
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false", timeout=SECONDS)


def recognised(page: "Page") -> int:
    return int(page.locator("#answer strong").inner_text())
