"""A transform is a text: found by a function or a place, hashed, and executed; what its text lacks is refused."""

import linecache
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ddmlp.data.transform import Transform
from ddmlp.errors import ConfigError
from tests.support import transforms

OUTSIDE, FILE = 3, "OFFSET = 1\n\n\ndef add(pixels, rows, seed, epoch):\n    return pixels + OFFSET\n"


def nested(pixels, *_):
    return pixels + OUTSIDE


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of modules."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("adding_file.py").write_text(FILE)
    return tmp_path


def refusal(given: object) -> str:
    with pytest.raises(ConfigError) as caught:
        Transform.of(given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_simple(folder: Path):
    found = Transform.of("adding_file:add")
    assert (found.name, found.text, found.file, found.placed) == (
        "adding_file:add",
        FILE,
        folder / "adding_file.py",
        True,
    )
    assert found.load()(4, None, 0, 0) == 5
    assert Transform.of("adding_file.py:add").sha256 == found.sha256
    assert "adding_file" not in sys.modules, "nothing is imported"


@pytest.mark.usefixtures("folder")
def test_hash_covers_the_file():
    found = Transform.of("adding_file:add")
    Path("adding_file.py").write_text(FILE.replace("OFFSET = 1", "OFFSET = 2"))
    changed = Transform.of("adding_file:add")
    assert changed.sha256 != found.sha256
    assert (found.load()(4, None, 0, 0), changed.load()(4, None, 0, 0)) == (5, 6)
    Path("adding_file.py").write_text(f"{FILE}\n\nother = add\n")
    assert Transform.of("adding_file:add").sha256 != Transform.of("adding_file:other").sha256


def test_function_of_a_module():
    """The same as by its name, with all that the module defines."""
    found = Transform.of(transforms.drawn)
    assert found == transforms.of("drawn")
    pixels, rows = np.zeros((2, 1, 1), np.uint8), np.array([3, 4])
    assert (found.load()(pixels, rows, 5, 6) == transforms.drawn(pixels, rows, 5, 6)).all()


def test_function_of_no_module():
    """As in a notebook: its text, and imports of the modules that it uses."""

    def half(pixels, *_):
        def shade(image):
            """Halve it."""
            return np.right_shift(image, 1)

        return np.array([shade(image) for image in pixels])

    found = Transform.of(half)
    assert found.text.startswith("import numpy as np\n\n\nif True:\n    def half(")
    assert (found.name, found.file, found.placed) == ("half", None, False)
    assert found.load()([8, 6], None, 0, 0).tolist() == [4, 3]
    assert found.sha256 == Transform.of(half).sha256


@pytest.mark.usefixtures("folder")
def test_package():
    Path("pack").mkdir()
    Path("pack/__init__.py").write_text("raise SystemError('the package was imported')\n")
    Path("pack/inner.py").write_text("from . import other\n\n\ndef f(pixels, rows, seed, epoch):\n    return other.A\n")
    Path("pack/other.py").write_text("A = 7\n")
    found = Transform.of("pack.inner:f")
    Path("pack/__init__.py").write_text("")
    assert found.load()(0, 0, 0, 0) == 7
    for name in ("pack", "pack.other"):
        del sys.modules[name]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda pixels, *_: pixels, ["lambda", "f(pixels, rows, seed, epoch)"]),
        (print, ["builtin_function_or_method"]),
        (7, ["a int"]),
        ("adding_file", ["'adding_file'", "MODULE:FUNCTION"]),
        ("adding_file:add()", ["'adding_file:add()'"]),
        (":add", ["':add'"]),
        ("absent_file:add", ["absent_file", "no source file"]),
        ("adding_file.inner:add", ["adding_file.inner"]),
        ("sys:exit", ["module sys"]),
        ("absent_file.py:add", ["absent_file.py", "No such file"]),
        ("other.py:add", ["other.py", "utf-8"]),
    ],
)
def test_no_transform(given: object, words: list[str]):
    Path("other.py").write_bytes(b"a = '\xe9'")
    found = refusal(given)
    assert [word for word in words if word not in found] == []
    assert "Errno" not in found


def test_variables_around_it():
    number = 5

    def closure(pixels, *_):
        return pixels + number

    def outside(pixels, rows, *_):
        return [pixels + OUTSIDE for _ in rows]

    def missing(pixels, *_):
        return pixels + absent_name  # noqa: F821

    for function, name in [(closure, "number"), (outside, "OUTSIDE"), (missing, "absent_name")]:
        assert f" {name}, " in refusal(function)
    assert Transform.of(nested).load()(1, 0, 0, 0) == 4, "in a module that can be imported, it may use all of its file"


def test_no_source():
    names: dict[str, Any] = {}
    exec("def f(pixels, rows, seed, epoch):\n    return pixels\n", names)
    assert "source of the transform f" in refusal(names["f"])


@pytest.mark.parametrize("imports", ["import numpy as np\n", ""])
def test_imports_elsewhere(imports: str):
    """In a notebook they are in another cell; then the compiled code is another."""
    text = "def f(pixels, *_):\n    for _ in range(3):\n        pixels = np.roll(pixels, 1) if _ else np.abs(pixels)\n"
    text = f"{imports}{text}    return pixels\n"
    names: dict[str, Any] = {"__name__": "__main__", "np": np}
    exec(compile(text, "<other cell>", "exec"), names)
    linecache.cache["<other cell>"] = len(text), None, text.splitlines(keepends=True), "<other cell>"
    assert Transform.of(names["f"]).load()(np.array([1, 2, 3])).tolist() == [2, 3, 1]


def test_other_source():
    """A cell or a script that was changed after the function was defined."""
    names: dict[str, Any] = {"__name__": "__main__"}
    text = "def f(pixels, rows, seed, epoch):\n    return pixels + 1\n"
    exec(compile(text, "<cell>", "exec"), names)
    for number, fine in ((1, True), (2, False)):
        now = text.replace("1", str(number))
        linecache.cache["<cell>"] = len(now), None, now.splitlines(keepends=True), "<cell>"
        if fine:
            assert Transform.of(names["f"]).load()(1, 0, 0, 0) == 2
        else:
            assert "define it again" in refusal(names["f"])


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import absent_package\n", ["ModuleNotFoundError", "absent_package"]),
        ("raise SystemExit(3)\n", ["SystemExit"]),
        ("def g(:\n", ["SyntaxError"]),
        ("add = 5\n", ["no function add"]),
        ("", ["no function add"]),
    ],
)
def test_bad_file(text: str, words: list[str]):
    Path("adding_file.py").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Transform.of("adding_file:add").load()
    assert [word for word in ["adding_file:add", *words] if word not in str(caught.value)] == []
