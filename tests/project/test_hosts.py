"""cluster/hosts.sh and its switch, as far as they need no namespaces; tests/ray_backend/test_hosts.py runs them."""

import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.hosts import SCRIPT, environment


@pytest.fixture(scope="module")
def switch() -> ModuleType:
    spec = spec_from_file_location("switch", SCRIPT.with_name("switch.py"))
    assert spec is not None
    assert spec.loader is not None
    found = sys.modules["switch"] = module_from_spec(spec)  # dataclass looks for its module there
    spec.loader.exec_module(found)
    return found


def hosts(*words: str, state: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([SCRIPT, *words], env=environment(state), capture_output=True, text=True, timeout=60)


def test_simple(switch: ModuleType):
    link = switch.Link()
    assert link.due(1500, 7.0, 0.5) == 7.0
    link.cut = True
    assert link.due(1500, 7.0, 0.5) is None
    assert (link.passed, link.lost, link.dropped) == (1, 0, 1)


def test_delay_and_rate(switch: ModuleType):
    link = switch.Link(delay=2.0, rate=1000.0)
    assert [link.due(500, 10.0, 0.5) for _ in range(3)] == [12.5, 13.0, 13.5]
    assert link.due(500, 20.0, 0.5) == 22.5, "an idle link saves no time for later"


def test_full_queue_drops(switch: ModuleType):
    link = switch.Link(rate=1.0)
    sent = [link.due(1000, 0.0, 0.5) for _ in range(1000)]
    assert sent.count(None) == link.lost > 0
    assert link.passed * 1000 <= switch.QUEUE_BYTES + 2000


def test_loss(switch: ModuleType):
    link = switch.Link(loss=0.25)
    assert [link.due(1, 0.0, chance / 100) for chance in range(100)].count(None) == link.lost == 25


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "what to do"),
        (("begin",), "'begin'"),
        (("on", "1"), "needs a host and a command"),
        (("start", "--nodes", "2"), "'--nodes'"),
        (("start", "--hosts", "two"), "'two'"),
        (("start", "--hosts", "65"), "1 to 64"),
        (("start", "--share", "/none"), "'/none'"),
    ],
)
def test_bad_arguments(tmp_path: Path, words: tuple[str, ...], complaint: str):
    done = hosts(*words, state=tmp_path / "s")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert complaint in done.stderr
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    "words", [("cut", "1"), ("cut", "1", "255"), ("link", "1", "2", "--loss", "-1"), ("heal", "1")]
)
def test_bad_links(tmp_path: Path, words: tuple[str, ...]):
    program = [sys.executable, SCRIPT.with_name("links.py"), tmp_path / "switch", *words]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_nothing_started(tmp_path: Path):
    done = hosts("stop", state=tmp_path / "s")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    for words in (["status"], ["cut", "1", "2"], ["on", "1", "true"], ["join"], ["kill", "2"]):
        done = hosts(*words, state=tmp_path / "s")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "no hosts are started" in done.stderr


def test_stop_spares_other_folders(tmp_path: Path):
    (tmp_path / "thesis.tex").touch()
    assert hosts("stop", state=tmp_path).returncode == 1
    assert (tmp_path / "thesis.tex").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_needs_root(tmp_path: Path):
    other = ["setpriv", "--reuid", "65534", "--clear-groups"]  # who may not be able to read the checkout
    options = {"input": SCRIPT.read_text(), "env": environment(tmp_path / "s"), "cwd": "/", "text": True}
    done = subprocess.run([*other, "bash", "-s", "check"], **options, capture_output=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert "root" in done.stderr
