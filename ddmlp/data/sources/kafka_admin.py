"""What Kafka's admin client tells of a topic, and the offsets of a consumer group."""

import logging
from collections.abc import Mapping
from typing import Any

from ddmlp.data.sources.kafka_messages import text_of

SECONDS = 10.0  # for an answer
SHORT_SECONDS = 0.5  # for an answer that may be missing
NO_ID = "AAAAAAAAAAAAAAAAAAAAAA"  # of a topic, from brokers without them

log = logging.getLogger(__name__)


class KafkaAdmin:
    """A topic, as Kafka's admin client sees it. Its methods raise KafkaException."""

    def __init__(self, settings: dict[str, Any], topic: str) -> None:
        from confluent_kafka.admin import AdminClient

        self._client, self._topic = AdminClient(settings), topic

    def describe(self) -> tuple[str, str | None]:
        """Return the topic's id, "-" if it has none, and its policy of clean-up, None if that is not known."""
        from confluent_kafka import KafkaError, KafkaException, TopicCollection
        from confluent_kafka.admin import ConfigResource

        found, policy, options = NO_ID, None, {"request_timeout": SECONDS}
        try:
            (topic,) = self._client.describe_topics(TopicCollection([self._topic]), **options).values()
            found = str(topic.result(2 * SECONDS).topic_id)
            (configs,) = self._client.describe_configs([ConfigResource("topic", self._topic)], **options).values()
            policy = configs.result(2 * SECONDS).get("cleanup.policy")
        except KafkaException as error:
            why = error.args[0]
            if why.retriable() or (why.code() < 0 and why.code() != KafkaError._UNSUPPORTED_FEATURE):
                raise  # no answer; else it is an older broker, or there is no permission
            log.info("%s cannot be described: %s", self._topic, text_of(error))
        return "-" if found == NO_ID else found, None if policy is None else str(policy.value)

    def commit(self, group: str, offsets: Mapping[int, int]) -> None:
        """Commit the offsets of a group, by partition. A consumer that does that could not be closed at any time."""
        from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

        parts = [TopicPartition(self._topic, *each) for each in offsets.items()]
        self._client.alter_consumer_group_offsets([ConsumerGroupTopicPartitions(group, parts)], request_timeout=SECONDS)

    def count_from(self, offsets: Mapping[int, int]) -> int:
        """Return how many offsets there are from these on, by partition; one request for all partitions."""
        from confluent_kafka import TopicPartition
        from confluent_kafka.admin import OffsetSpec

        asked = {TopicPartition(self._topic, each): OffsetSpec.latest() for each in offsets}
        answers = self._client.list_offsets(asked, request_timeout=SHORT_SECONDS)
        ends = {part.partition: answer.result(2 * SECONDS).offset for part, answer in answers.items()}
        return sum(max(0, ends[each] - offset) for each, offset in offsets.items())
