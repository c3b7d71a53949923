"""The command that recognises digits: a line for each, and one for what is none."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ddmlp
from ddmlp.cli import predict
from ddmlp.cli.predict import describe
from ddmlp.data.convert import find_pairs
from ddmlp.data.idx import read_idx, write_idx
from ddmlp.inference.saved_model import load_model
from ddmlp.nn.weights import Shape, Weights
from tests.support.helpers import inside
from tests.support.photographs import sheet
from tests.support.pictures import digits_of, png, save


@pytest.fixture(scope="module")
def digits(sample: Path) -> np.ndarray:
    return digits_of(sample)


def refusal(model: Path, *files: object) -> str:
    done = inside(predict.main, "--model", model, *files)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert re.fullmatch(r"error: .+\n", done.stderr), done.stderr
    return done.stderr.removeprefix("error: ").strip()


def test_simple(trained, digits, tmp_path):
    path = save(tmp_path, "large.png", digits[0])
    command = [sys.executable, "-m", "ddmlp.predict", "--model", trained, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(
        rf"{path}  0  \d+\.\d%(  \(\d: \d+\.\d%(, \d: \d+\.\d%)*\))?  \[inverted, cropped and scaled\]\n", done.stdout
    )


def test_what_is_printed():
    shown = describe(np.array([0.015, 0.9, 0.005, 0.08]))
    assert shown == "1  90.0%  (3: 8.0%, 0: 1.5%)"
    assert describe(np.array([0.0, 1.0])) == "1  100.0%"


@pytest.mark.parametrize("compress", [False, True])
def test_an_idx_file(trained, sample, tmp_path, compress):
    images = read_idx(find_pairs(sample)[1].images)[:250]
    path = tmp_path / "some-images"
    write_idx(path, images, compress=compress)
    done = inside(predict.main, "--model", trained, path)
    assert (done.returncode, done.stderr) == (0, "")
    found = [line.split() for line in done.stdout.splitlines()]
    assert [line[0] for line in found] == [f"{path}[{row}]" for row in range(250)]
    assert [int(line[1]) for line in found] == load_model(trained).predict(images).tolist()
    for line in done.stdout.splitlines():
        shown = sum(map(float, re.findall(r"(\d+\.\d)%", line)))
        assert 91 < shown < 100.7


def test_several_files(trained, digits, tmp_path):
    files = [save(tmp_path, kind, digits[4]) for kind in ("plain.png", "inverted.png", "large.jpg")]
    done = inside(predict.main, "--model", trained, *files)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [[str(path), "1"] for path in files]


@pytest.mark.parametrize(
    "bad",
    [
        "missing",
        "folder",
        "text",
        "empty",
        "blank",
        "bomb",
        "many",
        "cut",
        "jpeg 2000",
        "heic",
        "page",
        "pointer",
        "two",
        "sheet",
    ],
)
def test_no_picture_of_a_digit(trained, digits, tmp_path, bad):
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
        case "jpeg 2000":
            Image.fromarray(digits[0]).save(path, "JPEG2000")
        case "heic":
            path.write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40))
        case "page":
            path.write_text("<!DOCTYPE html><html><body>Not found</body></html>")
        case "pointer":
            path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
        case "two":
            sheet("two", digits, np.random.default_rng(0)).save(path, "PNG")
        case "sheet":
            sheet("empty", digits, np.random.default_rng(0)).save(path, "PNG")
    expected = {
        "missing": ": No such file or directory",
        "folder": ": Is a directory",
        "text": " is text, expected PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF or IDX",
        "empty": " is not an image, expected PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF or IDX",
        "blank": ": no single digit found: ",
        "bomb": " is too large",
        "many": " has 8000 x 8000 pixels",
        "cut": " cannot be read: ",
        "jpeg 2000": " is a JPEG 2000 picture, expected PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF or IDX",
        "heic": " is an HEIC picture",
        "page": " is a web page (HTML), expected PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF or IDX; download",
        "pointer": " is a Git LFS pointer, expected PNG, JPEG, GIF, BMP, WebP, TIFF, AVIF or IDX; get the file",
        "two": ": no single digit found: it has 2 ",
        "sheet": ": no single digit found: ",
    }
    assert refusal(trained, path).startswith(f"{path}{expected[bad]}")


@pytest.mark.parametrize(
    ("array", "found"),
    [
        (np.zeros((2, 27, 28), np.uint8), "uint8 of shape (2, 27, 28)"),
        (np.zeros(5, np.uint8), "uint8 of shape (5,)"),
    ],
)
def test_an_idx_file_of_other_images(trained, tmp_path, array, found):
    write_idx(tmp_path / "file", array)
    assert refusal(trained, tmp_path / "file") == (
        f"{tmp_path}/file has {found}, but the model takes uint8 images of (28, 28)"
    )


def test_a_damaged_gzip(trained, tmp_path):
    write_idx(tmp_path / "file", np.zeros((5, 28, 28), np.uint8), compress=True)
    (tmp_path / "file").write_bytes((tmp_path / "file").read_bytes()[:-4])
    message = refusal(trained, tmp_path / "file")
    assert message.startswith(
        f"{tmp_path}/file, byte 3,936 of the uncompressed data: found the end of a truncated gzip"
    )


def test_one_bad_picture_among_others(trained, digits, tmp_path):
    good = [save(tmp_path, kind, digits[4]) for kind in ("plain.png", "large.jpg")]
    (tmp_path / "bad").write_text("hello")
    done = inside(predict.main, "--model", trained, good[0], tmp_path / "bad", tmp_path / "none", good[1])
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [[str(path), "1"] for path in good]
    assert [line.split()[1] for line in done.stderr.splitlines()] == [str(tmp_path / "bad"), f"{tmp_path}/none:"]


def test_as_it_is_and_fitted(trained, digits, tmp_path):
    path = save(tmp_path, "inverted.png", digits[0])
    shown = [inside(predict.main, "--model", trained, path, *how).stdout for how in ((), ("--as-is",), ("--fit",))]
    assert [line.partition("[")[2] for line in shown] == ["inverted]\n", "", "inverted, cropped and scaled]\n"]
    assert "28 x 28" in refusal(trained, save(tmp_path, "large.png", digits[0]), "--as-is")
    assert inside(predict.main, "--model", trained, path, "--as-is", "--fit").returncode == 2


def test_committee(trained, digits, tmp_path):
    np.savez(tmp_path / "other.npz", **Weights.draw(Shape(784, 3, 10), 0).parameters)
    write_idx(tmp_path / "images", digits[:3])
    models = [trained, tmp_path / "other.npz"]
    done = inside(predict.main, *(word for each in models for word in ("--model", each)), tmp_path / "images")
    assert (done.returncode, done.stderr) == (0, "")
    expected = [describe(each) for each in ddmlp.load(models).predict_proba(digits[:3])]
    assert done.stdout == "".join(f"{tmp_path}/images[{row}]  {each}\n" for row, each in enumerate(expected))


def test_names_of_classes(trained, digits, tmp_path):
    names = [f"the {digit}" for digit in range(10)]
    with np.load(trained / "model.npz") as arrays:
        about = json.loads(arrays["about"].tobytes()) | {"class_names": names}
        text = np.frombuffer(json.dumps(about).encode(), np.uint8)
        np.savez(tmp_path / "model.npz", **{**arrays, "about": text})
    path = save(tmp_path, "plain.png", digits[4])
    assert inside(predict.main, "--model", tmp_path, path).stdout.startswith(f"{path}  the 1  ")


def test_names_of_files(trained, digits, tmp_path):
    """Bytes that are no UTF-8, and a new line: escaped, in answers and errors."""
    good, bad = (os.fsencode(tmp_path) + name for name in (b"/\xff\n.png", b"/\xfe.png"))
    save(tmp_path, "plain.png", digits[4]).rename(Path(os.fsdecode(good)))
    Path(os.fsdecode(bad)).write_text("hello")
    done = subprocess.run(
        [sys.executable, "-m", "ddmlp.predict", "--model", trained, good, bad],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.count("\n"), done.stderr.count("\n")) == (1, 1, 1), done
    assert done.stdout.startswith(f"{tmp_path}/\\xff\\n.png  1  ")
    assert done.stderr.startswith(f"error: {tmp_path}/")
