"""Recognising digits in pictures of every kind, and refusing what is none."""

import json
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ddmlp.cli import predict
from ddmlp.cli.predict import describe
from ddmlp.data.convert import find_pairs
from ddmlp.data.idx import read_idx, write_idx
from ddmlp.errors import ImageError, RunError
from ddmlp.inference.images import read_image
from ddmlp.inference.model import load_model
from ddmlp.inference.recogniser import Recogniser
from tests.support.helpers import inside

DIGITS = 40


@pytest.fixture(scope="module")
def recognise(trained: Path) -> Recogniser:
    return Recogniser(load_model(trained))


@pytest.fixture(scope="module")
def digits(sample: Path) -> np.ndarray:
    """Real digits of the test set, (40, 28, 28), every class among them."""
    _, test = find_pairs(sample)
    labels = read_idx(test.labels)
    chosen = np.concatenate([np.flatnonzero(labels == digit)[: DIGITS // 10] for digit in range(10)])
    return read_idx(test.images)[chosen]


def command(model: Path, *files: object) -> subprocess.CompletedProcess[str]:
    """The command as a process of its own."""
    arguments = [sys.executable, "-m", "ddmlp.predict", "--model", str(model), *map(str, files)]
    return subprocess.run(arguments, capture_output=True, text=True, check=False)


def refusal(model: Path, *files: object) -> str:
    done = inside(predict.main, "--model", model, *files)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert re.fullmatch(r"error: .+\n", done.stderr), done.stderr
    return done.stderr.removeprefix("error: ").strip()


def plain(digit: np.ndarray) -> Image.Image:
    return Image.fromarray(digit)


def inverted(digit: np.ndarray) -> Image.Image:
    return Image.fromarray(255 - digit)


def large(digit: np.ndarray) -> Image.Image:
    """Ten times the size, off-centre on a sheet of white with a wide margin."""
    sheet = Image.new("L", (700, 500), 255)
    sheet.paste(Image.fromarray(255 - digit).resize((280, 280), Image.Resampling.BICUBIC), (380, 40))
    return sheet


def transparent(digit: np.ndarray) -> Image.Image:
    """Black ink, the rest see-through."""
    rgba = np.zeros((28, 28, 4), np.uint8)
    rgba[..., 3] = digit
    return Image.fromarray(rgba)


def transparent_white(digit: np.ndarray) -> Image.Image:
    rgba = np.full((28, 28, 4), 255, np.uint8)
    rgba[..., 3] = digit
    return Image.fromarray(rgba)


def sixteen_bits(digit: np.ndarray) -> Image.Image:
    return Image.fromarray(digit.astype(np.uint16) * 257)


def palette(digit: np.ndarray) -> Image.Image:
    return Image.fromarray(255 - digit).convert("RGB").quantize(32)


def coloured(digit: np.ndarray) -> Image.Image:
    """Dark blue on light yellow."""
    share = digit[..., None] / 255
    return Image.fromarray((share * (10, 20, 120) + (1 - share) * (250, 245, 190)).astype(np.uint8))


KINDS = {
    "plain.png": plain,
    "inverted.png": inverted,
    "large.png": large,
    "large.jpg": large,
    "transparent.png": transparent,
    "transparent_white.png": transparent_white,
    "sixteen.png": sixteen_bits,
    "palette.png": palette,
    "coloured.png": coloured,
    "inverted.jpg": inverted,
    "plain.bmp": plain,
    "plain.gif": plain,
}


def save(folder: Path, kind: str, digit: np.ndarray) -> Path:
    path = folder / kind
    KINDS[kind](digit).save(path)
    return path


def complaint_of(path: Path) -> str | None:
    """What is wrong with a picture, if anything is."""
    try:
        assert read_image(path, (28, 28)).shape == (28, 28)
    except ImageError as error:
        return str(error)
    return None


def png(width: int, height: int) -> bytes:
    """A PNG file that claims to be so large, with hardly any data."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = (b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000))), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*parts) for parts in chunks)


def test_simple(trained, digits, tmp_path):
    path = save(tmp_path, "large.png", digits[0])
    done = command(trained, path)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(rf"{path}  0  \d+\.\d%(  \(\d: \d+\.\d%(, \d: \d+\.\d%)*\))?\n", done.stdout)


def test_an_error_of_the_command_has_exit_status_1(trained, tmp_path):
    done = command(trained, tmp_path / "nowhere")
    said = f"error: {tmp_path}/nowhere: No such file or directory\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_of_any_kind_is_recognised_as_its_raw_pixels_are(recognise, digits, tmp_path, kind):
    seen = np.stack([read_image(save(tmp_path, kind, digit), (28, 28)) for digit in digits])
    assert (seen.dtype, seen.shape) == (np.uint8, digits.shape)
    agree = recognise(seen).argmax(axis=1) == recognise(digits).argmax(axis=1)
    exact = kind in ("plain.png", "inverted.png", "plain.bmp", "sixteen.png", "transparent.png")
    assert np.count_nonzero(agree) >= (DIGITS if exact else 0.9 * DIGITS)


@pytest.mark.parametrize("kind", ["plain.png", "inverted.png", "plain.bmp", "sixteen.png"])
def test_pixels_that_are_as_those_trained_with_stay_as_they_are(digits, tmp_path, kind):
    full = digits[digits.max(axis=(1, 2)) == 255]
    assert len(full) > DIGITS / 2
    for digit in full:
        assert (read_image(save(tmp_path, kind, digit), (28, 28)) == digit).all()


def test_faint_ink_is_strengthened(digits, tmp_path):
    Image.fromarray((200 - digits[0] // 4).astype(np.uint8)).save(tmp_path / "faint.png")
    found = read_image(tmp_path / "faint.png", (28, 28)).astype(int)
    assert found.max() == 255
    assert abs(found - digits[0]).max() <= 5


def test_a_digit_is_put_with_its_centre_of_mass_in_the_middle(digits, tmp_path):
    for digit in digits:
        found = read_image(save(tmp_path, "large.png", digit), (28, 28)).astype(float)
        centre = [(found.sum(axis=1 - axis) @ np.arange(28)) / found.sum() for axis in (0, 1)]
        assert centre == pytest.approx([13.5, 13.5], abs=0.6)
        drawn = np.argwhere(found > 0.3 * 255)
        assert 18 <= (np.ptp(drawn, axis=0) + 1).max() <= 20


@pytest.mark.parametrize("shape", [(5, 7), (64, 32), (1, 1)])
def test_a_model_of_another_image_shape_gets_images_of_it(digits, tmp_path, shape):
    found = read_image(save(tmp_path, "large.png", digits[0]), shape)
    assert (found.shape, found.dtype) == (shape, np.uint8)
    assert found.any()


def test_probabilities_sum_to_one(recognise, digits):
    found = recognise(digits)
    assert found.shape == (DIGITS, 10)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


def test_what_is_printed_sums_to_about_one():
    shown = describe(np.array([0.015, 0.9, 0.005, 0.08]))
    assert shown == "1  90.0%  (3: 8.0%, 0: 1.5%)"
    assert describe(np.array([0.0, 1.0])) == "1  100.0%"


@pytest.mark.parametrize("compress", [False, True])
def test_an_idx_file_has_a_line_for_each_row(trained, recognise, sample, tmp_path, compress):
    images = read_idx(find_pairs(sample)[1].images)[:250]
    path = tmp_path / "some-images"
    write_idx(path, images, compress=compress)
    done = inside(predict.main, "--model", trained, path)
    assert (done.returncode, done.stderr) == (0, "")
    found = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in found] == [f"{path}[{row}]" for row in range(250)]
    lots = [recognise(images[start : start + 100]) for start in (0, 100, 200)]
    assert [int(line[1]) for line in found] == np.concatenate(lots).argmax(axis=1).tolist()
    for line in done.stdout.splitlines():
        shown = sum(map(float, re.findall(r"(\d+\.\d)%", line)))
        assert 91 < shown < 100.7


def test_several_files_are_recognised_in_their_order(trained, digits, tmp_path):
    files = [save(tmp_path, kind, digits[4]) for kind in ("plain.png", "inverted.png", "large.jpg")]
    done = inside(predict.main, "--model", trained, *files)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [[str(path), "1"] for path in files]


@pytest.mark.parametrize("bad", ["missing", "folder", "text", "empty", "blank", "bomb", "many", "cut", "tiff"])
def test_what_is_no_picture_of_a_digit_is_one_line(trained, digits, tmp_path, bad):
    path = tmp_path / "file"
    whole = save(tmp_path, "large.png", digits[0]).read_bytes()
    match bad:
        case "folder":
            path.mkdir()
        case "text":
            path.write_text("hello")
        case "empty":
            path.touch()
        case "blank":
            Image.new("L", (28, 28), 255).save(path, "PNG")
        case "bomb":
            path.write_bytes(png(60_000, 60_000))
        case "many":
            path.write_bytes(png(8_000, 8_000))
        case "cut":
            path.write_bytes(whole[: len(whole) // 2])
        case "tiff":
            Image.fromarray(digits[0]).save(path, "TIFF")
    expected = {
        "missing": ": No such file or directory",
        "folder": ": Is a directory",
        "text": " is no image, expected PNG, JPEG, GIF, BMP or IDX",
        "empty": " is no image, expected PNG, JPEG, GIF, BMP or IDX",
        "blank": " shows no digit: its pixels are all about the same",
        "bomb": " is too large, expected 50,000,000 pixels at most",
        "many": " has 8000 x 8000 pixels, expected 50,000,000 at most",
        "cut": " cannot be read: ",
        "tiff": " is no image, expected PNG, JPEG, GIF, BMP or IDX",
    }
    assert refusal(trained, path).startswith(f"{path}{expected[bad]}")


@pytest.mark.parametrize("kind", ["large.png", "large.jpg", "plain.gif", "plain.bmp", "palette.png"])
def test_no_damage_raises_anything_but_an_image_error(digits, tmp_path, kind):
    whole = save(tmp_path, kind, digits[0]).read_bytes()
    path = tmp_path / "damaged"
    random = np.random.default_rng(0)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole[: random.integers(1, len(whole) + 1)])
        for at in random.integers(0, len(damaged), 3):
            damaged[at] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        complaint = complaint_of(path)
        refused += complaint is not None
        assert complaint is None or complaint.startswith(str(path))
        assert "\n" not in (complaint or "")
    assert refused


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((2, 27, 28), np.uint8), "uint8 of shape (2, 27, 28)"),
        (np.zeros(5, np.uint8), "uint8 of shape (5,)"),
    ],
)
def test_an_idx_file_of_other_images_is_refused(trained, tmp_path, array, found):
    write_idx(tmp_path / "file", array)
    assert refusal(trained, tmp_path / "file") == (
        f"{tmp_path}/file has {found}, but the model takes uint8 images of (28, 28)"
    )


def test_a_damaged_gzip_is_named(trained, tmp_path):
    write_idx(tmp_path / "file", np.zeros((5, 28, 28), np.uint8), compress=True)
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:-4])
    message = refusal(trained, tmp_path / "file")
    assert message.startswith(
        f"{tmp_path}/file, byte 3,936 of the uncompressed data: found the end of a truncated gzip"
    )


def model(path: Path, inputs: int) -> Path:
    np.savez(path, W1=np.zeros((inputs, 2), np.float32), W2=np.zeros((2, 3), np.float32))
    return path


def test_a_model_alone_takes_square_images(tmp_path):
    assert load_model(model(tmp_path / "model.npz", 36)).image_shape == (6, 6)


def test_a_model_alone_that_is_not_square_is_refused(tmp_path):
    path = model(tmp_path / "model.npz", 35)
    with pytest.raises(RunError) as caught:
        load_model(path)
    assert str(caught.value) == f"{path} takes images of 35 pixels, which is no square, and no result.json says more"


def test_the_result_says_which_images_a_model_takes(tmp_path):
    model(tmp_path / "model.npz", 36)
    (tmp_path / "result.json").write_text(json.dumps({"image_shape": [4, 9]}))
    assert load_model(tmp_path).image_shape == load_model(tmp_path / "model.npz").image_shape == (4, 9)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"image_shape": 6}',
        '{"image_shape": [6]}',
        '{"image_shape": ["six", "six"]}',
        '{"image_shape": [null, 6]}',
        '{"image_shape": [-6, -6]}',
        '{"image_shape": [6.5, 6]}',
        '{"image_shape": [6.0, 6.0]}',
        '{"image_shape": [true, 36]}',
        '{"image_shape": [0, 36]}',
        '{"image_shape": [6, 6, 1]}',
        '{"image_shape": "66"}',
        '{"image_shape": null}',
        pytest.param("[" * 100_000, id="deep"),
    ],
)
def test_a_damaged_result_beside_the_model_is_named(tmp_path, text):
    model(tmp_path / "model.npz", 36)
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(RunError) as caught:
        load_model(tmp_path)
    assert str(caught.value) == f"{tmp_path}/result.json is damaged: it has no image_shape [height, width]"


def test_a_result_that_does_not_fit_its_model_is_named_with_both(tmp_path):
    model(tmp_path / "model.npz", 36)
    (tmp_path / "result.json").write_text(json.dumps({"image_shape": [5, 7]}))
    with pytest.raises(RunError) as caught:
        load_model(tmp_path)
    assert str(caught.value) == f"{tmp_path} takes images of 36 pixels, but {tmp_path}/result.json says 5 x 7"
