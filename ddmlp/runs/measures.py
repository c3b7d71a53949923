"""What is measured of a run's updates, as its files hold it."""

from collections.abc import Mapping

from msgspec import Struct

from ddmlp.runs.json_text import Amount, Count, Fraction, Positive


class Staleness(Struct, frozen=True):
    """Versions between the weights that gradients were computed with and those that they were applied to.

    Parameters
    ----------
    mean, max
        In versions; 0 if there were no updates.
    histogram
        How many updates there were of each staleness, in ascending order.
    """

    mean: Amount
    max: Count
    histogram: dict[Count, Positive]

    @classmethod
    def from_counts(cls, counts: Mapping[int, int]) -> "Staleness":
        """From the number of updates of each staleness."""
        histogram = {versions: counts[versions] for versions in sorted(counts) if counts[versions]}
        total = sum(versions * count for versions, count in histogram.items())
        return cls(total / max(1, sum(histogram.values())), max(histogram, default=0), histogram)


class PrequentialError(Struct, frozen=True):
    """The fraction of rows recognised wrongly before they were trained on: of the newest `window` rows, and of all."""

    window: Positive
    error: Fraction
    overall: Fraction
