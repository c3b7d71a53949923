"""A server of Kafka's protocol."""

import logging
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.support.broker import Sent, Server


class Kafka(Server):
    """A server of Kafka's protocol that stores on disk."""

    scheme, install = "kafka", "(pip install) noida-db"
    lazy = True

    @property
    def program(self) -> str:  # type: ignore[override]
        found = find_spec("noida_db")
        return str(Path(found.origin).with_name("noida-db")) if found and found.origin else "noida-db"

    def command(self) -> list[str]:
        ports = "--host", self.host, "--kafka-port", str(self.port)
        return [self.program, "start", "--only", "kafka", "--data-dir", str(self.folder / "data"), *ports]

    def settle(self) -> None:
        assert self._process
        self._process.terminate()  # killed, it loses messages that it has acknowledged
        self._process.wait(20)

    def client(self, kind: str, **settings: Any) -> Any:
        import confluent_kafka
        import confluent_kafka.admin

        found = getattr(confluent_kafka, kind, None) or getattr(confluent_kafka.admin, kind)
        quiet = {"logger": logging.getLogger("tests.kafka"), "error_cb": lambda _: None}
        return found({"bootstrap.servers": f"{self.host}:{self.port}", **settings, **quiet})

    def answers(self) -> bool:
        try:
            return bool(self.client("AdminClient").list_topics(timeout=0.5).brokers)
        except self.errors():
            return False

    def make(self, stream: str, partitions: int = 1, **options: Any) -> None:
        from confluent_kafka.admin import NewTopic

        admin = self.client("AdminClient")
        if stream not in admin.list_topics(timeout=5).topics:
            admin.create_topics([NewTopic(stream, partitions, 1, **options)])[stream].result(5)

    def send(self, stream: str, messages: Sequence[Sent], partition: int = 0) -> None:
        """Send messages once: none again, also if the server has ended, and none of a later batch."""
        self.make(stream)
        once = {"retries": 0, "max.in.flight": 1, "linger.ms": 20, "message.timeout.ms": 5_000}
        producer, failed = self.client("Producer", **once), []
        for first in range(0, len(messages), 100):
            for payload, label in messages[first : first + 100]:
                headers = [] if label is None else [("label", label)]
                producer.produce(
                    stream,
                    payload,
                    headers=headers,
                    partition=partition,
                    on_delivery=lambda e, _: e and failed.append(e),
                )
            producer.flush(10)
            if failed:
                raise ConnectionError(str(failed[0]))

    def ends(self, stream: str) -> dict[int, tuple[int, int]]:
        """The first offset, and the one after the last, of each partition."""
        from confluent_kafka import TopicPartition

        consumer = self.client("Consumer", **{"group.id": "test"})
        try:
            parts = consumer.list_topics(stream, timeout=5).topics[stream].partitions
            return {each: consumer.get_watermark_offsets(TopicPartition(stream, each), 5) for each in parts}
        finally:
            consumer.close()

    def committed(self, stream: str, partitions: int, group: str = "ddmlp") -> list[int]:
        """The offsets that a group has committed."""
        from confluent_kafka import TopicPartition

        consumer = self.client("Consumer", **{"group.id": group})
        try:
            found = consumer.committed([TopicPartition(stream, each) for each in range(partitions)], timeout=5)
            return [each.offset for each in found]
        finally:
            consumer.close()

    def count(self, stream: str) -> int:
        return sum(high - low for low, high in self.ends(stream).values())

    def errors(self) -> tuple[type[Exception], ...]:
        from confluent_kafka import KafkaException

        return KafkaException, ConnectionError

    def trim(self, stream: str, keep: int) -> None:
        from confluent_kafka import TopicPartition

        upto = TopicPartition(stream, 0, self.ends(stream)[0][1] - keep)
        admin = self.client("AdminClient")
        admin.delete_records([upto])[upto].result(5)

    def remove(self, stream: str) -> None:
        admin = self.client("AdminClient")
        admin.delete_topics([stream])[stream].result(5)
