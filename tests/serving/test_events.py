"""Following a run while it trains: changes of its file, and the events that a browser gets."""

import asyncio
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import pytest

from ddmlp.config import TrainConfig
from ddmlp.files import write_whole
from ddmlp.runs.events import Started
from ddmlp.runs.json_text import to_json
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run
from ddmlp.serving import events as module
from ddmlp.serving.app import MAX_WATCHERS
from ddmlp.serving.events import Follower, state, watch
from tests.support.events import progress, result
from tests.support.servers import Server, serving

UNBEGUN = {"begun": False, "quiet": 0, "result": None, "epochs": None, "report": False, "trace": False, "lag": None}


def line(step: int, **more: object) -> str:
    return to_json(progress(step, **more)) + "\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "metrics.jsonl"


@pytest.fixture
def follower(path: Path) -> Iterator[Follower]:
    with closing(Follower(path)) as found:
        yield found


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def read(follower: Follower) -> tuple[bool, list[int]]:
    again, events = follower.read()
    return again, [event.step for event in events]


def test_simple(path, follower):
    assert read(follower) == (False, [])  # it does not exist yet
    append(path, line(1) + line(2))
    assert read(follower) == (False, [1, 2])
    assert read(follower) == (False, [])
    append(path, line(3))
    assert read(follower) == (False, [3])


def test_line_without_its_end(path, follower):
    text = line(1)
    for end in range(len(text)):
        path.write_text(text[:end])
        assert read(follower)[1] == []
    append(path, text[-1])
    assert read(follower) == (False, [1])


def test_pieces_are_joined(path, follower, monkeypatch):
    monkeypatch.setattr(module, "CHUNK_BYTES", 7)
    path.write_text("".join(map(line, range(10))))
    found = []
    for _ in range(path.stat().st_size):
        found += read(follower)[1]
    assert found == list(range(10))


@pytest.mark.parametrize(
    "damaged", ["", "{", "[]", "7", '"step"', '{"event": "progress"}', '{"event": 1, "step": 1}', "\0\0\xff",
                '{"event": "progress", "step": "1"}', "[" * 50_000, "x" * 500_000],
)  # fmt: skip
def test_damaged_line(path, follower, damaged):
    path.write_text(f"{line(1)}{damaged}\n{line(2)}", "latin-1")
    found = []
    for _ in range(5):
        found += read(follower)[1]
    assert found == [1, 2]


def test_endless_line(path, follower):
    path.write_text("x" * 3_000_000)
    for _ in range(20):
        assert read(follower) == (False, [])
    assert len(follower._rest) <= module.MAX_LINE_BYTES
    append(path, "\n" + line(1))
    assert read(follower) == (False, [1])


def test_truncated_file(path, follower):
    path.write_text(line(1) + line(2))
    assert read(follower) == (False, [1, 2])
    os.truncate(path, len(line(1)))
    assert read(follower) == (True, [1])
    assert read(follower) == (False, [])


def test_replaced_file(path, follower):
    path.write_text(line(1) + line(2))
    assert read(follower) == (False, [1, 2])
    write_whole(path, line(1) + line(3) + line(4) + line(5))  # longer than before
    assert read(follower) == (True, [1, 3, 4, 5])
    path.unlink()
    assert read(follower) == (True, [])
    assert read(follower) == (False, [])
    path.write_text(line(9))
    assert read(follower) == (False, [9])


def test_resumed_run(tmp_path, path, follower):
    run = Run(tmp_path)
    run.record([Started(0, []), *map(progress, (10, 20, 30))])
    assert read(follower) == (False, [0, 10, 20, 30])
    append(path, '{"event": "progr')  # then it is killed
    assert read(follower) == (False, [])
    run.record([Started(20, [])])
    assert read(follower) == (True, [0, 10, 20, 20])


def test_not_finite(tmp_path):
    run = Run(tmp_path)
    run.record([progress(1, error=float("nan"), speed=float("inf"))])
    _, (_, (event,)), _ = messages(run, looks=2)
    assert (event["error"], event["rows_per_second"], event["mistakes"]) == (None, None, 0.25)


def test_state(tmp_path):
    run = Run(tmp_path / "run")
    assert state(run) == UNBEGUN
    run.path.mkdir()
    (run.path / "config.json").touch()
    assert state(run) == {**UNBEGUN, "begun": True}
    run.record([Started(0, [])])
    assert state(run)["result"] is None
    run.write_result(result())
    assert state(run)["result"] == result()
    metrics = run.path / "metrics.jsonl"
    later = metrics.stat().st_mtime + 60
    os.utime(metrics, (later, later))  # as if the run had been resumed
    assert state(run)["result"] is None
    os.utime(metrics, (later - 120, later - 120))
    assert state(run)["quiet"] in (55, 60)
    (run.path / "result.json").write_text("{")
    assert state(run)["result"] is None
    (run.path / "report.html").touch()
    assert state(run)["report"] is True


@pytest.mark.parametrize(("follow", "epochs"), [(False, 7), (True, None)])
def test_epochs(tmp_path, follow, epochs):
    run = Run(tmp_path)
    run.create(Origin(TrainConfig(epochs=epochs or 1, lr_schedule="constant", follow=follow), tmp_path, "0" * 64))
    assert state(run)["epochs"] == epochs


def messages(run: Run, looks: int) -> list[tuple[str, object]]:
    """The messages of a number of looks at the run."""
    left = iter(range(looks))

    async def told() -> list[str]:
        return [message async for message in watch(run, over=lambda: next(left, None) is None)]

    found = []
    for message in asyncio.run(told()):
        event, data, *end = message.split("\n")
        assert end == ["", ""]
        found.append((event.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


def test_watch(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0)
    run = Run(tmp_path)
    assert messages(run, looks=3) == [("again", None), ("state", UNBEGUN)]
    event = {"event": "start", "step": 0, "complaints": []}
    run.record([Started(0, [])])
    assert messages(run, looks=3) == [("again", None), ("events", [event]), ("state", {**UNBEGUN, "begun": True})]


@contextmanager
def news(server: Server) -> Iterator[Iterator[tuple[str, object]]]:
    """The server's messages, one by one, without an end."""
    with closing(http.client.HTTPConnection(*server.address, timeout=60)) as connection:
        connection.request("GET", "/events")
        with connection.getresponse() as response:
            assert (response.status, response.headers.get_content_type()) == (200, "text/event-stream")
            yield told(response)


def told(response: http.client.HTTPResponse) -> Iterator[tuple[str, object]]:
    while True:
        name = response.readline().decode().strip().removeprefix("event: ")
        data = json.loads(response.readline().decode().removeprefix("data: "))
        assert response.readline() == b"\n"
        yield name, data


def test_run_from_start_to_end(data, tmp_path):
    path = tmp_path / "run"
    with serving("--run", path) as server, news(server) as found:
        assert server.get("/about").json == {"name": str(path), "live": True, "model": None}
        drawn = [[0] * 28] * 28
        assert server.predict(drawn).status == 503
        assert [next(found) for _ in range(2)][1][1]["begun"] is False
        words = [sys.executable, "-m", "ddmlp.train", "--data", data, "--hidden", "20", "--epochs", "3", "--run", path]
        with subprocess.Popen([*map(str, words), "--quiet"], stdout=subprocess.DEVNULL) as training:
            events, states = [], []
            while not states or not states[-1]["result"]:
                name, news_ = next(found)
                assert name in ("events", "state")
                (events.extend if name == "events" else states.append)(news_)
        assert training.returncode == 0
        written = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        assert events == written
        ended = json.loads((path / "result.json").read_text())
        assert states[-1]["result"] == ended
        answer = server.predict(drawn).json["model"]
        assert (answer["step"], answer["weights_sha256"]) == (ended["steps"], ended["weights_sha256"])


def test_watchers_are_bounded(run_server):
    with ExitStack() as watching:
        leaves = watching.enter_context(ExitStack())
        for each in [leaves] + (MAX_WATCHERS - 1) * [watching]:
            next(each.enter_context(news(run_server)))
        refused = run_server.get("/events")
        assert (refused.status, refused.headers["retry-after"]) == (429, "1")
        leaves.close()
        while True:  # until the server has noticed; bounded by the timeout of the test
            with suppress(AssertionError), news(run_server) as found:
                next(found)
                break


def test_end_while_watched(trained):
    with ExitStack() as watching, serving("--run", trained) as server:
        next(watching.enter_context(news(server)))
