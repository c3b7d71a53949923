"""The verification of datasets, beside the training."""

from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait

from ddmlp.dataset import Dataset


class Verification:
    """Compares every byte of the shards with its hash, in a thread, while the first steps are computed.

    A flipped bit in a shard must not train silently, so no step is kept before this has ended well: a run that was
    resumed after the shard is restored would otherwise carry the steps that were computed from the damage.
    """

    def __init__(self, datasets: Iterable[Dataset]) -> None:
        thread = ThreadPoolExecutor(1, thread_name_prefix="verify")
        self._waiting: list[Future[None]] = [thread.submit(dataset.verify) for dataset in datasets]
        thread.shutdown(wait=False)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until every shard is verified, or `seconds` have passed; whether every shard is.

        Raises DatasetError naming a shard that is not what its manifest says.
        """
        done, left = wait(self._waiting, seconds)
        for each in done:
            each.result()  # a damage is told as often as one asks
        self._waiting = [*left]
        return not left
