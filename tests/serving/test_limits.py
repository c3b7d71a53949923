"""Many requests at once: limits, fairness, memory."""

import asyncio
import json
from collections import Counter
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

import pytest
from fastapi import Request

from ddmlp.errors import RequestError
from ddmlp.serving.app import MAX_REQUESTS, MAX_WAITING
from ddmlp.serving.limits import Admission
from tests.support.servers import JSON

MEGABYTE = 1 << 20


def turn(admission: Admission, client: str = "a") -> AbstractAsyncContextManager[None]:
    return asynccontextmanager(admission.turn)(Request({"type": "http", "client": (client, 1)}))


def test_simple():
    async def run() -> None:
        admission = Admission(at_once=2)
        async with AsyncExitStack() as stack:
            for _ in range(2):
                await stack.enter_async_context(turn(admission))
            with pytest.raises(RequestError, match="a ") as caught:
                await stack.enter_async_context(turn(admission))
            assert caught.value.status == 429
        async with turn(admission):  # there is room again
            pass

    asyncio.run(run())


async def served(*clients: str, waiting: int, leaving: frozenset[int] = frozenset()) -> list[str]:
    """Return the order in which requests of these clients get their turn, one at a time.

    They arrive in the given order while another request has its turn; those numbered in `leaving` are cancelled.
    """
    admission, done = Admission(1, waiting), []

    async def work(name: str) -> None:
        async with turn(admission, name):
            done.append(name)

    async with turn(admission, "first"):
        tasks = [asyncio.create_task(work(name)) for name in clients]
        await asyncio.sleep(0)  # each is in its queue
        for number in leaving:
            tasks[number].cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in found] == [n in leaving for n in range(len(tasks))]
    async with turn(admission):  # no turn was lost
        return done


def test_queues_take_turns():
    assert asyncio.run(served(*"aaaabbc", waiting=4)) == list("abcabaa")


def test_client_that_leaves():
    assert asyncio.run(served(*"aabb", waiting=2, leaving=frozenset({0, 2}))) == list("ab")
    assert asyncio.run(served(*"ab", waiting=2, leaving=frozenset({0, 1}))) == []


def test_turn_is_not_lost():
    async def run() -> None:
        admission = Admission(1, 1)
        async with turn(admission):
            task = asyncio.create_task(turn(admission).__aenter__())
            await asyncio.sleep(0)
        task.cancel()  # it has been given the turn, but has not run yet
        with pytest.raises(asyncio.CancelledError):
            await task
        async with turn(admission):
            pass

    asyncio.run(run())


async def at_once(address: tuple[str, int], body: bytes, kind: str, count: int) -> Counter[int]:
    """The statuses of `count` requests, each on its own connection; all are open before the first is sent."""
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


def test_many_requests(server, digits):
    before = server.memory
    body = json.dumps(digits[0].tolist()).encode()
    found = asyncio.run(at_once(server.address, body, JSON, 500))
    assert found.keys() <= {200, 429}
    assert found.total() == 500
    assert found[200] >= MAX_REQUESTS + MAX_WAITING
    assert server.memory < before + 100 * MEGABYTE
    assert server.predict(digits[0].tolist()).status == 200


def test_large_requests(server, digits):
    before = server.memory
    found = asyncio.run(at_once(server.address, b" " * 4_000_000, JSON, 100))
    assert found == {400: 100}
    assert server.memory < before + 250 * MEGABYTE
    assert server.predict(digits[0].tolist()).status == 200
