"""Kafka topics: kafka://HOST:PORT/TOPIC.

The label beside a payload is the header `label`, or the key. The offset of a partition is a `CheckedOffset`. The
message before it is read again when a run continues: its checksum tells whether the topic is the same, also for brokers
that give topics no ids. Nothing depends on the largest offset of a partition, which some brokers report wrongly.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ddmlp.data.position import MAX_PARTITIONS, Position
from ddmlp.data.sources.broker_stream import BrokerStream, Disconnected
from ddmlp.data.sources.checked_offset import CheckedOffset
from ddmlp.data.sources.fetch_size import FETCH_BYTES, FetchSize
from ddmlp.data.sources.kafka_admin import SECONDS, SHORT_SECONDS, KafkaAdmin
from ddmlp.data.sources.kafka_messages import KafkaMessages, checksum_of, message_of, next_of, text_of
from ddmlp.data.sources.messages import Message, MessageList, Messages
from ddmlp.data.sources.stream_uri import StreamUri
from ddmlp.errors import ConfigError, DatasetError, printable, require_package

FORM = "kafka://HOST[:PORT]/TOPIC?format=..."
LOOK_SECONDS = 10.0  # between looks for new partitions


def open_kafka(uri: str) -> BrokerStream:
    """Open a Kafka topic; raises ConfigError."""
    require_package("confluent_kafka", "kafka", "a kafka:// stream")
    found = StreamUri.parse(uri, FORM, 9092, None)
    return BrokerStream(found, KafkaBroker(found))


class KafkaBroker:
    """A Kafka topic, as a `Broker`."""

    def __init__(self, uri: StreamUri) -> None:
        self._name, self._topic = uri.name, uri.stream
        host = f"[{uri.host}]" if ":" in uri.host else uri.host
        of_consumer = {
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "isolation.level": "read_committed",
            "queued.max.messages.kbytes": 2 * FETCH_BYTES >> 10,
            "fetch.max.bytes": FETCH_BYTES,
        }
        own = of_consumer | {
            "bootstrap.servers": f"{host}:{uri.port}",
            "error_cb": self._see_error,
            "log_level": 0,  # `error_cb` gets what matters
        }
        self._of_consumer = {"group.id", *of_consumer}
        if taken := sorted(own.keys() & uri.settings.keys()):
            raise ConfigError(f"the setting {taken[0]} is given by the run; remove it from the file")
        self._settings = {"group.id": "ddmlp", **uri.settings, **own}
        self._consumer: Any = None
        self._admin: KafkaAdmin | None = None
        self._gone = ""  # why no broker can be reached
        self._denied = False  # whether that is the user or the password
        self._opened = False  # whether `open` has succeeded once
        self._next: dict[int, CheckedOffset] = {}  # by partition
        self._unchecked: set[int] = set()  # partitions whose message before the next one is to be compared
        self._plain = False  # whether it is known that no message is removed by compaction
        self._looked = 0.0
        self._size = FetchSize()

    def open(self, position: Position | None) -> Position:
        """Connect, and go to a position; see `Broker`."""
        from confluent_kafka import Consumer, KafkaException, TopicPartition

        self.close()
        self._gone, self._denied = "", False
        try:
            self._consumer = Consumer(self._settings)
        except KafkaException as error:
            raise DatasetError(f"{self._name} cannot be read: {text_of(error)}; correct its settings") from None
        with self._errors():
            partitions, cluster = self._partitions()
            identity = {"kind": "kafka", "cluster": cluster, "topic": self._topic, "id": self._describe()}
            if position and position.identity != identity:
                raise self._another(f"it is {identity}, expected {position.identity}")
            if position and (missing := position.offsets.keys() - set(map(str, partitions))):
                raise self._another(f"it has no partition {min(missing)}")
            begins = {each: self._begin(each, position) for each in partitions}
            self._consumer.assign([TopicPartition(self._topic, each, begin) for each, begin in begins.items()])
        self._looked, self._opened = time.monotonic(), True
        offsets = {str(each): str(self._next[each]) for each in partitions}
        return Position(identity, offsets)

    def _partitions(self) -> tuple[list[int], str]:
        """Return the partitions of the topic, and the id of the cluster."""
        metadata = self._metadata()
        topic = metadata.topics[self._topic]
        if topic.error is not None or not topic.partitions:
            raise DatasetError(f"{self._name} is no topic: {printable(str(topic.error))}; create it first")
        if len(topic.partitions) > MAX_PARTITIONS:
            raise DatasetError(f"{self._name} has {len(topic.partitions):,} partitions, expected {MAX_PARTITIONS:,}")
        return sorted(topic.partitions), metadata.cluster_id or "-"

    def _metadata(self) -> Any:
        """Ask for the topic; raises KafkaException at once if no broker can be reached."""
        from confluent_kafka import KafkaException

        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return self._consumer.list_topics(self._topic, timeout=SHORT_SECONDS)
            except KafkaException:
                taken = self._consumer.poll(SHORT_SECONDS)  # calls `_see_error`
                if taken is not None or self._gone or time.monotonic() > deadline:  # a message is to be read again
                    raise

    def _describe(self) -> str:
        """Return the id of the topic, "-" if it has none. Raises DatasetError if it is compacted."""
        settings = {name: value for name, value in self._settings.items() if name not in self._of_consumer}
        self._admin = KafkaAdmin(settings, self._topic)
        found, policy = self._admin.describe()
        if policy is not None and "compact" in policy:
            raise DatasetError(f"{self._name} is compacted, so it loses messages; send the rows to another topic")
        self._plain = policy is not None
        return found

    def _begin(self, partition: int, position: Position | None) -> int:
        """Return the offset to read a partition from. Raises DatasetError if its next message is gone."""
        from confluent_kafka import TopicPartition

        lowest, _ = self._consumer.get_watermark_offsets(TopicPartition(self._topic, partition), SECONDS, cached=False)
        text = position.offsets.get(str(partition)) if position else None
        self._unchecked.discard(partition)
        if text is None:  # a new run, or a new partition
            self._next[partition] = CheckedOffset(lowest)
            return int(lowest)
        found = self._next[partition] = CheckedOffset.parse(text)
        if lowest > found.number:
            raise self._gap(partition, f"begins with the offset {lowest}")
        if not found.checksum or lowest == found.number:  # what was read is gone
            return found.number
        self._unchecked.add(partition)
        return found.number - 1

    def fetch(self, seconds: float) -> Messages:
        """Return the next messages; see `Broker`."""
        with self._errors():
            if time.monotonic() > self._looked + LOOK_SECONDS:
                self._looked = time.monotonic()
                if len(self._partitions()[0]) != len(self._next):
                    raise Disconnected("it has other partitions")
            found = self._consumer.consume(self._size.count, 0) or self._consumer.consume(1, seconds)
            messages = self._certain(found) or MessageList(filter(None, map(self._message, found)))
        if self._gone:
            raise Disconnected(self._gone)
        self._size.see_all(messages.payloads)
        return messages

    def _certain(self, found: list[Any]) -> Messages | None:
        """Return messages that are certainly the next ones; None if each has to be looked at."""
        following = {each: offset.number for each, offset in self._next.items()}
        if messages := None if self._unchecked else KafkaMessages.next_ones(found, following):
            self._next |= messages.ends
        return messages

    def _message(self, found: Any) -> Message | None:
        """Return a message; None if it was read before. Raises DatasetError if it is not the next one."""
        from confluent_kafka import KafkaError

        if (error := found.error()) is not None:
            if error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                raise self._gap(found.partition(), "has no such message")
            raise Disconnected(printable(error.str()))
        partition, offset = found.partition(), found.offset()
        following, checksum = self._next[partition]
        if partition in self._unchecked:
            if offset != following - 1 or checksum_of(found) != checksum:
                raise self._another(f"the message before the offset {following} of partition {partition} has changed")
            self._unchecked.remove(partition)
        if offset < following:
            return None
        if offset > following and not self._plain:  # else offsets without messages are those of transactions
            raise self._gap(partition, f"continues with the offset {offset}")
        self._next[partition] = next_of(found)
        return message_of(found, str(self._next[partition]))

    def commit(self, position: Position) -> None:
        """Commit the offsets of the group; see `Broker`."""
        if self._admin is not None:
            with self._errors():
                offsets = {int(each): CheckedOffset.parse(text).number for each, text in position.offsets.items()}
                self._admin.commit(str(self._settings["group.id"]), offsets)

    def unread(self) -> int | None:
        """Return how many offsets come after those that were returned; see `Broker`."""
        if self._admin is None:
            return None
        with self._errors():
            return self._admin.count_from({each: offset.number for each, offset in self._next.items()})

    def close(self) -> None:
        """Disconnect."""
        if self._consumer is not None:
            self._consumer.close()
        self._consumer = self._admin = None

    def _see_error(self, error: Any) -> None:
        """Note that no broker can be reached; the client calls this within its other methods."""
        from confluent_kafka import KafkaError

        code = error.code()
        if code in (KafkaError._SSL, KafkaError._AUTHENTICATION) or error.fatal():
            self._gone, self._denied = printable(error.str()), code == KafkaError._AUTHENTICATION
        elif code == KafkaError._ALL_BROKERS_DOWN:  # its text has only their number
            self._gone = self._gone or "no broker can be reached, or none accepts this security.protocol"

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise Kafka's errors as those of a `Broker`."""
        from confluent_kafka import KafkaException

        try:
            yield
        except KafkaException as error:
            if self._denied and not self._opened:  # later, the broker may have been killed while it was asked
                raise DatasetError(
                    f"{self._name} refuses the user or the password: {self._gone}; name a file with sasl.mechanism, "
                    "sasl.username and sasl.password by ?config=FILE"
                ) from None
            raise Disconnected(f"{text_of(error)}{f' ({self._gone})' if self._gone else ''}") from None

    def _gap(self, partition: int, found: str) -> DatasetError:
        return DatasetError(
            f"{self._name} has a gap, or was made again: partition {partition} {found}, expected the offset "
            f"{self._next[partition].number}; start a new run"
        )

    def _another(self, why: str) -> DatasetError:
        return DatasetError(f"{self._name} is not the topic as it was before: {why}; start a new run")
