"""Many requests at once."""

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from ddmlp.errors import RequestError
from ddmlp.serving.app import MAX_REQUESTS, MAX_WAITING
from ddmlp.serving.limits import Admission
from tests.support.servers import JSON

MEGABYTE = 1 << 20


def test_simple():
    async def run() -> None:
        turn = asynccontextmanager(Admission(at_once=2).turn)
        async with AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(turn())
            with pytest.raises(RequestError) as caught:
                await stack.enter_async_context(turn())
            assert caught.value.status == 429
        async with turn():  # there is room again
            pass

    asyncio.run(run())


def test_waiting():
    async def run() -> list[str]:
        admission, done, release = Admission(at_once=1, waiting=1), [], asyncio.Event()

        async def work(name: str) -> None:
            async with asynccontextmanager(admission.turn)():
                await release.wait()
                done.append(name)

        tasks = [asyncio.create_task(work(name)) for name in "abc"]
        with pytest.raises(RequestError):
            await tasks[2]
        assert done == []
        release.set()
        await asyncio.gather(*tasks[:2])
        return done

    assert asyncio.run(run()) == ["a", "b"]


async def at_once(address: tuple[str, int], body: bytes, kind: str, count: int) -> Counter[int]:
    """The statuses of so many requests on connections of their own, all open before the first is sent."""
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    sent = f"{head}Connection: close\r\n\r\n".encode() + body

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
        writer.write(sent)
        await writer.drain()
        found = await reader.read()
        writer.close()
        await writer.wait_closed()
        status, (_, said) = int(found.split()[1]), found.split(b"\r\n\r\n", 1)
        assert status == 200 or json.loads(said)["error"]
        return status

    ends = [await asyncio.open_connection(*address) for _ in range(count)]
    return Counter(await asyncio.gather(*(answer(*each) for each in ends)))


def test_thousand_requests(server, digits):
    before = server.memory
    body = json.dumps(digits[0].tolist()).encode()
    found = asyncio.run(at_once(server.address, body, JSON, 1_000))
    assert found.keys() <= {200, 429}
    assert found.total() == 1_000
    assert found[200] >= MAX_REQUESTS + MAX_WAITING
    assert server.memory < before + 100 * MEGABYTE
    assert server.predict(digits[0].tolist()).status == 200


def test_large_requests(server, digits):
    before = server.memory
    found = asyncio.run(at_once(server.address, b" " * 4_000_000, JSON, 100))
    assert found == {400: 100}
    assert server.memory < before + 250 * MEGABYTE
    assert server.predict(digits[0].tolist()).status == 200
