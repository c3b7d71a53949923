"""The pages in a real browser: Chromium, driven by Playwright."""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from ddmlp.data.convert import find_pairs
from ddmlp.data.idx import read_idx
from tests.support.servers import Server, png, serving
from tests.support.strokes import strokes

DRAWN = {"width": 1_100, "height": 900}
PHONE = {"width": 390, "height": 844}
SECONDS = 30_000  # milliseconds, as Playwright has it


@pytest.fixture(scope="module")
def server(trained: Path) -> Iterator[Server]:
    with serving("--model", trained) as found:
        yield found


@pytest.fixture
def opened(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens a page of a server. In the end, none may have complained or asked anybody else."""
    complaints: list[str] = []
    asked: set[str] = set()
    contexts: list[BrowserContext] = []
    own: set[str] = set()

    def open_(server: Server, path: str = "", **how: object) -> Page:
        own.add(server.url)
        context = browser.new_context(**{"viewport": DRAWN, **how})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
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


@pytest.fixture(scope="module")
def digits(sample: Path) -> dict[int, np.ndarray]:
    """The first digit of each class in the test set, (28, 28)."""
    images, labels = (read_idx(path) for path in find_pairs(sample)[1])
    return {digit: images[int(np.flatnonzero(labels == digit)[0])] for digit in range(10)}


def draw(page: Page, digit: np.ndarray) -> None:
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
def answered(page: Page) -> Iterator[None]:
    """Wait until what is done in the block has been answered, and the answer is shown."""
    expect(page.locator("#classes li").first).to_be_attached(timeout=SECONDS)  # it is ready
    yield
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false", timeout=SECONDS)


def recognised(page: Page) -> int:
    return int(page.locator("#answer strong").inner_text())


def test_simple(server, opened, digits):
    page = opened(server)
    expect(page.locator("#classes li")).to_have_count(10)
    with answered(page):
        draw(page, digits[7])
    assert recognised(page) == 7
    shares = [float(text.removesuffix(" %")) for text in page.locator("#classes output").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=0.6)
    assert int(np.argmax(shares)) == 7


def test_a_digit_of_each_class_is_recognised(server, opened, digits):
    page = opened(server)
    right = 0
    for digit, image in digits.items():
        with answered(page):
            draw(page, image)
        right += recognised(page) == digit
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#answer")).to_have_text("Draw, and see it recognised.", timeout=SECONDS)
    assert right >= 9


def test_probabilities_move_while_it_is_drawn(server, opened):
    page = opened(server)
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    shown = []
    for x, y in ((200, 40), (200, 200), (40, 200)):
        with answered(page):
            page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
        shown.append(tuple(page.locator("#classes output").all_inner_texts()))
    assert len(set(shown)) == 3
    page.mouse.up()


def test_what_the_network_saw_is_shown(server, opened, digits):
    page = opened(server)
    file = {"name": "7.png", "mimeType": "image/png", "buffer": png(digits[7])}
    with answered(page), page.expect_response("**/predict*") as response:
        page.locator("#file").set_input_files(file)
    assert response.value.json()["seen"] == digits[7].tolist()
    painted = page.evaluate("""() => {
        const canvas = document.getElementById("seen");
        return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
    }""")
    assert painted[0::4] == digits[7].ravel().tolist()
    assert recognised(page) == 7


def test_undo_takes_the_last_stroke_back(server, opened, digits):
    page = opened(server)
    with answered(page):
        draw(page, digits[1])
    once = page.locator("#answer").inner_text()
    box = page.locator("#pad").bounding_box()
    with answered(page):
        page.mouse.move(box["x"] + 20, box["y"] + 20)
        page.mouse.down()
        page.mouse.move(box["x"] + 250, box["y"] + 20, steps=3)
        page.mouse.up()
    assert page.locator("#answer").inner_text() != once
    with answered(page):
        page.get_by_role("button", name="Undo").click()
    assert page.locator("#answer").inner_text() == once


@pytest.mark.parametrize("how", ["finger", "pen"])
def test_a_finger_and_a_pen_draw_as_the_mouse_does(server, opened, digits, how):
    page = opened(server, viewport=PHONE, has_touch=True, is_mobile=True, device_scale_factor=2)
    page.locator("#pad").scroll_into_view_if_needed()
    page.evaluate("document.getElementById('pad').addEventListener('pointerdown', (e) => (window.how = e.pointerType))")
    box = page.locator("#pad").bounding_box()
    scale = box["width"] / 28
    client = page.context.new_cdp_session(page)

    def send(kind: str, point: tuple[float, float] | None) -> None:
        place = {"x": box["x"] + point[0] * scale, "y": box["y"] + point[1] * scale} if point else {}
        if how == "finger":
            name = {"down": "touchStart", "move": "touchMove", "up": "touchEnd"}[kind]
            points = [] if kind == "up" else [place]
            client.send("Input.dispatchTouchEvent", {"type": name, "touchPoints": points})
        else:
            name = {"down": "mousePressed", "move": "mouseMoved", "up": "mouseReleased"}[kind]
            about = {"button": "left", "buttons": 1, "clickCount": 1, "pointerType": "pen"}
            client.send("Input.dispatchMouseEvent", {"type": name, **place, **about})

    with answered(page):
        for line in strokes(digits[0]):
            send("down", line[0])
            for point in line[1:]:
                send("move", point)
            send("up", line[-1])
    assert page.evaluate("window.how") == {"finger": "touch", "pen": "pen"}[how]
    assert recognised(page) == 0


@pytest.mark.parametrize("width", [320, 390, 700, 1_100])
@pytest.mark.parametrize("path", ["", "docs"])
def test_nothing_is_wider_than_the_screen(server, opened, width, path):
    page = opened(server, path, viewport={"width": width, "height": 800})
    expect(page.locator("#classes li, pre").last).to_be_attached(timeout=SECONDS)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def luminance(colour: str) -> float:
    """Of rgb(...), as WCAG 2.2 defines it."""
    shares = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_written_can_be_read(server, opened, digits, scheme):
    page = opened(server, color_scheme=scheme)
    with answered(page):
        draw(page, digits[3])
    assert recognised(page) == 3
    ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (ground > 0.5) == (scheme == "light")
    for what in ("body", ".faint", "figcaption", "a", "#answer", "#classes li"):
        ink = luminance(page.locator(what).first.evaluate("(each) => getComputedStyle(each).color"))
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, what


def test_everything_has_a_name_and_can_be_reached_by_keyboard(server, opened):
    page = opened(server)
    for control in page.locator("button, input, a, progress, canvas").all():
        assert control.evaluate("(each) => each.ariaLabel || each.labels?.[0]?.textContent || each.textContent").strip()
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert reached == ["clear", "undo", "file", "A"]


def test_the_page_about_http_says_what_the_schema_says(server, opened):
    page = opened(server, "docs")
    expect(page.get_by_role("heading", name="POST /predict")).to_be_visible(timeout=SECONDS)
    for route in server.get("/openapi.json").json["paths"]:
        expect(page.get_by_role("heading", name=route)).to_have_count(1)


@contextmanager
def training(data: Path, run: Path, *flags: str) -> Iterator[None]:
    """A run that trains as long as the block."""
    words = [sys.executable, "-m", "ddmlp.train", "--data", str(data), "--run", str(run), "--quiet", *flags]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
        assert process.poll() is None, "it should have trained longer"
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def fact(page: Page, name: str) -> Locator:
    """What is told of `name`."""
    return page.locator("#facts div", has=page.get_by_text(name, exact=True)).locator("dd")


def test_the_page_of_a_run_moves_while_it_trains(data, tmp_path, opened, digits):
    run = tmp_path / "run"
    with serving("--run", run) as server:
        page = opened(server)
        expect(page.locator("#state")).to_have_text("It has not begun yet.", timeout=SECONDS)
        expect(page.locator("#curves figure:visible")).to_have_count(0)
        with training(data, run, "--epochs", "10000", "--hidden", "100", "--checkpoint-every", "200"):
            expect(page.locator("#state")).to_have_text("It trains.", timeout=SECONDS)
            expect(page.locator("#facts")).to_contain_text("Last checkpoint", timeout=SECONDS)
            expect(page.locator("#curves figure:visible")).to_have_count(6, timeout=SECONDS)
            with answered(page):
                draw(page, digits[0])
            seen = []
            for _ in range(3):
                step, curve = (
                    fact(page, "Step").inner_text(),
                    page.locator("#curves polyline").first.get_attribute("points"),
                )
                answer = page.locator("#answer").inner_text()
                assert re.search(r"says the version of step [\d,]+$", answer)
                seen.append((step, curve, answer))
                expect(fact(page, "Step")).not_to_have_text(step, timeout=SECONDS)
                expect(page.locator("#answer")).not_to_have_text(answer, timeout=SECONDS)
            for each in zip(*seen, strict=True):
                assert len(set(each)) == 3


def test_the_page_of_a_run_that_has_ended(trained, opened):
    with serving("--run", trained) as server:
        page = opened(server)
        expect(page.locator("#state")).to_have_text("It has ended.", timeout=SECONDS)
        result = json.loads((trained / "result.json").read_text())
        expect(page.locator("#facts")).to_contain_text(f"{result['steps']:,}")
        expect(page.locator("#facts")).to_contain_text(result["weights_sha256"][:12])
        assert page.locator("#curves svg:visible").first.get_attribute("aria-label").startswith("Loss, E, nats: from ")
