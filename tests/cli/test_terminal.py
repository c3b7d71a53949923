"""How a command ends: its exit status, and one line for what went wrong."""

import subprocess
import sys

import pytest

from ddmlp.cli.terminal import Parser, command
from ddmlp.errors import ConfigError, IdxError


def ended(main) -> int:
    with pytest.raises(SystemExit) as caught:
        command(main)
    assert isinstance(caught.value.code, int)
    return caught.value.code


def raising(error: BaseException):
    def main() -> None:
        raise error

    return main


def test_simple(capsys: pytest.CaptureFixture[str]):
    assert ended(lambda: None) == 0
    assert ended(lambda: 130) == 130
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (ConfigError("--batch is 0"), 2, "error: --batch is 0"),
        (IdxError("file: bad"), 1, "error: file: bad"),
        (PermissionError(13, "Permission denied", "/there"), 1, "error: /there: Permission denied"),
        (OSError(28, "No space left on device"), 1, "error: input/output: No space left on device"),
        (KeyboardInterrupt(), 130, "error: interrupted"),
    ],
)
def test_an_error_is_one_line(error: BaseException, status: int, line: str, capsys: pytest.CaptureFixture[str]):
    assert ended(raising(error)) == status
    assert capsys.readouterr().err == line + "\n"


INTERRUPTED = """if True:
    import signal
    import sys
    from ddmlp.__main__ import main

    class Interrupting:
        def find_spec(self, name, *_):
            if name == "ddmlp.cli.convert":
                signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores it
    sys.meta_path.insert(0, Interrupting())
    sys.argv = ["ddmlp", "convert", "x", "y"]
    main()
"""


def test_interrupted_while_it_imports():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "error: interrupted\n")


def test_a_bug_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        command(raising(ZeroDivisionError()))


def test_wrong_argument(capsys: pytest.CaptureFixture[str]):
    parser = Parser(prog="tool")
    parser.add_argument("--number", type=int)
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(["--number", "x"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == "error: argument --number: invalid int value: 'x'; see tool --help\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [(["--out", ""], "--out"), (["--out="], "--out"), (["--out", "x", "", "y"], "an argument"), ([""], "an argument")],
)
def test_empty_argument(arguments: list[str], name: str, capsys: pytest.CaptureFixture[str]):
    parser = Parser(prog="tool")
    parser.add_argument("--out")
    parser.add_argument("files", nargs="*")
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(arguments)
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {name} is empty; ")


def test_reader_goes_away():
    script = (
        "from ddmlp.cli.terminal import command\ndef main():\n    for _ in range(10**6): print('line')\ncommand(main)"
    )
    done = subprocess.run(
        f"{sys.executable} -c '{script.replace(chr(39), chr(34))}' | head -1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "line\n"
    assert done.stderr == ""
