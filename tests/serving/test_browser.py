"""The pages in Chromium, driven by Playwright."""

import re

import numpy as np
import pytest

from ddmlp.inference.saved_model import About, load_model
from ddmlp.runs.arrays import ABOUT, from_record, save_arrays, weight_arrays
from tests.support.browser import SECONDS, answered, draw, expect, recognised
from tests.support.servers import png, serving
from tests.support.strokes import strokes

pytestmark = pytest.mark.browser
PHONE = {"width": 390, "height": 844}


def test_simple(server, opened, digit_of):
    page = opened(server)
    expect(page.locator("#classes li")).to_have_count(10)
    with answered(page):
        draw(page, digit_of[7])
    assert recognised(page) == 7
    shares = [float(text.removesuffix(" %")) for text in page.locator("#classes span").all_inner_texts()]
    assert sum(shares) == pytest.approx(100, abs=0.6)
    assert int(np.argmax(shares)) == 7


def test_each_class(server, opened, digit_of):
    page = opened(server)
    right = 0
    for digit, image in digit_of.items():
        with answered(page):
            draw(page, image)
        right += recognised(page) == digit
        page.get_by_role("button", name="Clear").click()
        expect(page.locator("#answer")).to_contain_text("Draw a digit", timeout=SECONDS)
    assert right >= 9


def test_live_probabilities(server, opened):
    page = opened(server)
    box = page.locator("#pad").bounding_box()
    page.mouse.move(box["x"] + 40, box["y"] + 40)
    page.mouse.down()
    shown = []
    for x, y in ((200, 40), (200, 200), (40, 200)):
        with answered(page):
            page.mouse.move(box["x"] + x, box["y"] + y, steps=4)
        shown.append(tuple(page.locator("#classes span").all_inner_texts()))
    assert len(set(shown)) == 3
    page.mouse.up()


def test_seen(server, opened, digit_of):
    page = opened(server)
    file = {"name": "7.png", "mimeType": "image/png", "buffer": png(digit_of[7])}
    with answered(page), page.expect_response("**/predict*") as response:
        page.locator("#file").set_input_files(file)
    assert response.value.json()["seen"] == digit_of[7].tolist()
    painted = page.evaluate("""() => {
        const canvas = document.getElementById("seen");
        return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
    }""")
    assert painted[0::4] == digit_of[7].ravel().tolist()
    assert recognised(page) == 7


def test_undo(server, opened, digit_of):
    page = opened(server)
    with answered(page):
        draw(page, digit_of[1])
    once = page.locator("#answer").inner_text()
    box = page.locator("#pad").bounding_box()
    with answered(page):
        page.mouse.move(box["x"] + 60, box["y"] + 140)
        page.mouse.down()
        page.mouse.move(box["x"] + 220, box["y"] + 140, steps=3)
        page.mouse.up()
    assert page.locator("#answer").inner_text() != once
    with answered(page):
        page.get_by_role("button", name="Undo").click()
    assert page.locator("#answer").inner_text() == once


@pytest.mark.parametrize("how", ["finger", "pen"])
def test_finger_and_pen(server, opened, digit_of, how):
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
        for line in strokes(digit_of[0]):
            send("down", line[0])
            for point in line[1:]:
                send("move", point)
            send("up", line[-1])
    assert page.evaluate("window.how") == {"finger": "touch", "pen": "pen"}[how]
    assert recognised(page) == 0


@pytest.mark.parametrize("width", [320, 390, 700, 1_100])
@pytest.mark.parametrize("path", ["", "docs"])
def test_width(server, opened, width, path):
    page = opened(server, path, viewport={"width": width, "height": 800})
    expect(page.locator("#classes li, pre").last).to_be_attached(timeout=SECONDS)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def luminance(colour: str) -> float:
    """The relative luminance of rgb(...), as WCAG 2.2 defines it."""
    shares = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(server, opened, digit_of, scheme):
    page = opened(server, color_scheme=scheme)
    with answered(page):
        draw(page, digit_of[3])
    assert recognised(page) == 3
    ground = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert (ground > 0.5) == (scheme == "light")
    for what in ("body", ".faint", "figcaption", "a", "#answer", "#classes li"):
        ink = luminance(page.locator(what).first.evaluate("(each) => getComputedStyle(each).color"))
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, what


def test_accessible_names(server, opened):
    page = opened(server)
    for control in page.locator("button, input, a, progress, canvas, summary").all():
        assert control.evaluate("(each) => each.ariaLabel || each.labels?.[0]?.textContent || each.textContent").strip()
    reached = []
    for _ in range(6):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert reached == ["pad", "clear", "undo", "file", "SUMMARY", "A"]


def test_one_live_region(run_server, opened):
    page = opened(run_server)
    expect(page.locator("#classes li")).to_have_count(10)
    live = page.locator("output, [role=status], [role=alert], [aria-live]")
    assert live.evaluate_all("(all) => all.map((each) => each.id)") == ["spoken"]
    expect(page.locator("#spoken")).to_have_text("Finished.", timeout=SECONDS)


def test_keyboard_drawing(server, opened):
    page = opened(server)
    expect(page.locator("#classes li")).to_have_count(10)
    page.keyboard.press("Tab")
    for _ in range(9):
        page.keyboard.press("ArrowUp")
    with answered(page):
        page.keyboard.press("Space")
        for _ in range(18):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Space")
    assert recognised(page) == 1
    expect(page.locator("#spoken")).to_contain_text("1", timeout=SECONDS)
    with answered(page):
        page.keyboard.press("Backspace")
    expect(page.locator("#answer")).to_contain_text("Draw a digit", timeout=SECONDS)


def test_unsure(server, opened):
    page = opened(server)
    cases = {
        "99.5 %": (0.995, 0.001),
        "probably: 92.0 %, or 0: 5.0 %": (0.92, 0.05),
        "unsure: 50.0 %, or 0: 40.0 %": (0.5, 0.4),
    }
    for says, (best, second) in cases.items():
        found = {"class": 1, "probabilities": [second, best, *[0] * 8], "seen": [[0]], "model": {"step": None}}
        page.route("**/predict*", lambda route, *, found=found: route.fulfill(json=found))
        with answered(page):
            page.locator("#pad").click(position={"x": 50, "y": 50})
        expect(page.locator("#answer")).to_have_text(f"1 {says}", timeout=SECONDS)
        page.unroute("**/predict*")


def test_class_names(trained, tmp_path, opened, digit_of):
    model = load_model(trained)
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine<b>")
    about = About(model.image_shape, model.look, names)
    save_arrays(
        tmp_path / "named.npz",
        {**weight_arrays(model.weights), ABOUT: from_record(about)},
    )
    with serving("--model", tmp_path / "named.npz") as server:
        page = opened(server)
        expect(page.locator("#classes b").last).to_have_text("nine<b>", timeout=SECONDS)
        with answered(page):
            draw(page, digit_of[7])
        expect(page.locator("#answer strong")).to_have_text("seven")


def test_done(server, opened, digit_of):
    page = opened(server)
    with answered(page):
        draw(page, digit_of[7])
    expect(page.locator(".seen figcaption")).to_contain_text(": inverted, ")
    with answered(page):
        page.locator("#file").set_input_files({"name": "a.png", "mimeType": "image/png", "buffer": png(digit_of[7])})
    expect(page.locator(".seen figcaption")).not_to_contain_text(":")
    with answered(page):
        page.locator("#file").set_input_files(
            {"name": "a.png", "mimeType": "image/png", "buffer": png(digit_of[7] * 0)}
        )
    expect(page.locator("#answer")).to_contain_text("no single digit found")


def test_docs(server, opened):
    page = opened(server, "docs")
    expect(page.get_by_role("heading", name="POST /predict")).to_be_visible(timeout=SECONDS)
    for route in server.get("/openapi.json").json["paths"]:
        expect(page.get_by_role("heading", name=route)).to_have_count(1)
    shown = "".join(page.locator("pre").all_text_contents())
    assert "probabilities" in shown
    assert "weights_sha256" in shown
    assert "$ref" not in shown
    expect(page.get_by_text("?fit=auto or never or always: ")).to_have_count(1)
    expect(page.get_by_text("?seen=true: ")).to_have_count(1)
