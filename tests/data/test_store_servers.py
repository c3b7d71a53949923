"""Stores of real servers: their rows are read, and a run is resumed from a checkpoint in them, to the same hash."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from tests.support.brokers import started
from tests.support.source_files import hugging_face, some_rows
from tests.support.stores import SECRET, STORES, StoreServer

pytestmark = pytest.mark.sources
ROWS = some_rows(200)

# In a process of its own, because the clients keep threads. It prints what it has found as JSON.
SCRIPT = """
import hashlib, json, shutil, sys
from pathlib import Path
import ddmlp
from ddmlp.data.store import Store
from ddmlp.errors import StoreError

uri, nowhere, parquet = sys.argv[1], sys.argv[2], Path("rows.parquet")
found, place = {"messages": []}, lambda path: uri.replace("PATH", path)

def refused(act):
    try:
        act()
    except StoreError as error:
        found["messages"].append(str(error))

store = Store(place("files/deep"))
found["before"] = store.names()
store.write("one", parquet)
store.write("two", parquet)
found["names"], found["files"] = store.names(), Store(place("files")).files()
found["sha256"] = store.sha256("one")
store.delete("two")
store.delete("two")
found["after"] = store.names()
refused(lambda: store.read("two"))
refused(lambda: Store(nowhere).names())
Store(place("tables")).write("train.parquet", parquet)

settings = {"test": parquet, "hidden": 4, "epochs": 4, "batch": 10, "progress": False}
whole = ddmlp.fit(parquet, run="whole", **settings)
ddmlp.fit(place("tables"), run="part", stop_after=33, checkpoint_uri=place("run"), checkpoint_every=5, **settings)
Path("part/data").rename("data")
shutil.rmtree("part")
resumed = ddmlp.resume(place("run"), data="data", progress=False)
found["steps"] = [whole.steps, resumed.steps]
found["hashes"] = [whole.weights_sha256, resumed.weights_sha256, ddmlp.verify(resumed.run, data="data").weights_sha256]
found["archives"] = len(Store(place("run")).names())
print(json.dumps(found))
"""


@pytest.fixture(
    scope="module",
    params=["SeaweedFS", *(pytest.param(name, marks=pytest.mark.chaos) for name in ("Google", "Azure"))],
)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreServer]:
    with started(STORES[request.param](tmp_path_factory.mktemp(request.param))) as found:
        assert isinstance(found, StoreServer)
        yield found


def test_simple(server: StoreServer, tmp_path: Path):
    parquet.write_table(hugging_face(ROWS), tmp_path / "rows.parquet")
    size = (tmp_path / "rows.parquet").stat().st_size
    done = script(server, tmp_path)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["before"], found["names"], found["after"]) == ([], ["one", "two"], ["one"])
    assert found["files"] == [["deep/one", size], ["deep/two", size]]
    assert found["steps"] == [80, 80]
    assert len(set(found["hashes"])) == 1
    assert 1 <= found["archives"] <= 3
    missing, nowhere = found["messages"]
    assert "two" in missing
    assert "nowhere" in nowhere
    assert "\n" not in missing + nowhere
    for path in tmp_path.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


# The emulator of Google knows no keys.
@pytest.mark.parametrize("server", ["SeaweedFS", pytest.param("Azure", marks=pytest.mark.chaos)], indirect=True)
def test_wrong_key(server: StoreServer, tmp_path: Path):
    (tmp_path / "rows.parquet").touch()
    wrong = dict.fromkeys([name for name, value in server.environment.items() if value == SECRET], "d3Jvbmc=")
    done = script(server, tmp_path, **wrong)
    assert done.returncode == 1
    *_, last = done.stderr.strip().splitlines()
    assert last.startswith("ddmlp.errors.StoreError: the store ")
    assert "d3Jvbmc=" not in done.stderr


def script(server: StoreServer, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, server.place("PATH"), server.place("x", bucket="nowhere")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), **server.environment, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
