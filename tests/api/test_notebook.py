"""In a notebook: a real kernel shows the progress and the report, and interrupting a cell leaves a checkpoint."""

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ddmlp

Outputs = list[tuple[str, dict[str, Any]]]
SECONDS = 60


class Notebook:
    """A kernel whose cells run one after the other."""

    def __init__(self, manager: Any, client: Any) -> None:
        self._manager, self._client = manager, client

    def run(self, cell: str, interrupt_at: Callable[[str], bool] = lambda _: False) -> Outputs:
        """The outputs of a cell; it is interrupted once an output has a text that is to do so."""
        outputs: Outputs = []
        sent, deadline, interrupted = self._client.execute(cell), time.monotonic() + SECONDS, False
        while time.monotonic() < deadline:
            try:
                message = self._client.get_iopub_msg(timeout=1)
            except queue.Empty:
                continue
            kind, content = message["msg_type"], message["content"]
            if message["parent_header"].get("msg_id") != sent:
                continue
            if (kind, content.get("execution_state")) == ("status", "idle"):
                return outputs
            if kind in ("stream", "display_data", "execute_result", "error"):
                outputs.append((kind, content))
                if not interrupted and interrupt_at(str(content)):
                    self._manager.interrupt_kernel()
                    interrupted = True
        raise AssertionError(f"the cell has not ended within {SECONDS} s: {outputs}")


@contextmanager
def kernel(folder: Path) -> Iterator[Notebook]:
    from jupyter_client.manager import KernelManager
    from jupyter_core.utils import ensure_event_loop

    manager = KernelManager(transport="ipc", connection_file=str(folder / "kernel.json"))
    manager.start_kernel(cwd=str(folder))
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=SECONDS)
        yield Notebook(manager, client)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()
        manager.context.destroy()
        ensure_event_loop().close()  # which the blocking client has made


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jupyter_client
def test_simple(data: Path, short: Path):
    with kernel(short) as notebook:
        assert notebook.run("import ddmlp") == []
        outputs = notebook.run(f"found = ddmlp.fit({str(data)!r}, run='whole', hidden=8, epochs=1)")
        assert "epoch 1/1  test error" in str(outputs)
        ((kind, content),) = notebook.run("found")
        assert kind == "execute_result"
        assert content["data"]["text/html"].startswith("<iframe srcdoc=")
        assert "finished" not in content["data"]["text/plain"]
        cell = f"ddmlp.fit({str(data)!r}, run='part', hidden=100, epochs=5000, keep=2)"
        *_, (kind, content) = notebook.run(cell, lambda text: "epoch 1/5000" in text)
        assert (kind, content["ename"]) == ("error", "KeyboardInterrupt")
        assert f"ddmlp.resume('{short}/part', keep=2)" in "".join(content["traceback"])
    assert not (short / "part" / "result.json").exists()
    step = int(content["evalue"].split()[-1])
    assert step >= 500
    assert ddmlp.verify(short / "part").last == step
    assert ddmlp.resume(short / "part", stop_after=step + 1).steps == step + 1
