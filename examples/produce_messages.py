"""Send the rows of MNIST to a message broker: the pixels of an image are a message, and its label is beside them.

python examples/produce_messages.py mnist redis://localhost/digits
python -m ddmlp.train --data "redis://localhost/digits?format=raw" --run runs/stream
"""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from ddmlp.cli.terminal import Parser, command
from ddmlp.data.idx import read_idx
from ddmlp.data.sources.idx_pair import find_pairs

Messages = Iterable[tuple[bytes, bytes]]  # pixels and label


def send_to_redis(uri: SplitResult, batches: Iterable[Messages]) -> None:
    import redis

    with redis.Redis(uri.hostname, uri.port or 6379) as client, client.pipeline(transaction=False) as pipe:
        for messages in batches:
            for pixels, label in messages:
                pipe.xadd(uri.path[1:], {"payload": pixels, "label": label})
            pipe.execute()


def send_to_kafka(uri: SplitResult, batches: Iterable[Messages]) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": f"{uri.hostname}:{uri.port or 9092}", "enable.idempotence": True})
    for messages in batches:
        for pixels, label in messages:
            producer.produce(uri.path[1:], pixels, headers=[("label", label)])
        producer.flush()


def send_to_nats(uri: SplitResult, batches: Iterable[Messages]) -> None:
    import nats

    async def send() -> None:
        async with await nats.connect(f"nats://{uri.netloc}") as client:
            stream = client.jetstream()
            await stream.add_stream(name=uri.path[1:], subjects=[f"{uri.path[1:]}.rows"])
            for messages in batches:
                for pixels, label in messages:
                    await stream.publish(f"{uri.path[1:]}.rows", pixels, headers={"label": label.decode()})

    asyncio.run(send())


def send_to_rabbitmq(uri: SplitResult, batches: Iterable[Messages]) -> None:
    from rstream import AMQPMessage, Producer

    async def send() -> None:
        stream, stored = uri.path[1:], asyncio.Queue()
        address = uri.hostname or "", uri.port or 5552
        async with Producer(*address, username="guest", password="guest") as producer:
            await producer.create_stream(stream, exists_ok=True)
            for messages in batches:
                batch = [
                    AMQPMessage(body=pixels, application_properties={"label": label.decode()})
                    for pixels, label in messages
                ]
                await producer.send_batch(stream, batch, on_publish_confirm=stored.put_nowait)
                for _ in batch:
                    assert (await stored.get()).is_confirmed, "RabbitMQ has not stored a message"

    asyncio.run(send())


SENDERS = {
    "redis": send_to_redis,
    "kafka": send_to_kafka,
    "nats": send_to_nats,
    "rabbitmq-stream": send_to_rabbitmq,
}


def main() -> None:
    parser = Parser(description="Send the training rows of four IDX files to a message broker.")
    parser.add_argument("folder", type=Path, help="folder with the four IDX files")
    parser.add_argument("uri", type=urlsplit, help=f"SCHEME://HOST:PORT/STREAM, with one of {', '.join(SENDERS)}")
    parser.add_argument("--rows", type=int, default=500, help="rows sent at a time (default: %(default)s)")
    parser.add_argument("--pause", type=float, default=0.1, help="seconds after each time (default: %(default)s)")
    args = parser.parse_args()
    if args.uri.scheme not in SENDERS or len(args.uri.path) < 2 or args.rows < 1 or args.pause < 0:
        parser.error(
            f"expected a URI SCHEME://HOST:PORT/STREAM, with one of {', '.join(SENDERS)}, and positive numbers"
        )
    pixels, labels = map(read_idx, find_pairs(args.folder)[0])

    def batches() -> Iterable[Messages]:
        for first in range(0, len(labels), args.rows):
            some = slice(first, first + args.rows)
            yield [(image.tobytes(), b"%d" % label) for image, label in zip(pixels[some], labels[some], strict=True)]
            time.sleep(args.pause)

    SENDERS[args.uri.scheme](args.uri, batches())


if __name__ == "__main__":
    command(main)
