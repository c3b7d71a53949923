"""Measurements that both events and results hold."""

from collections.abc import Mapping

from msgspec import Struct

from ddmlp.runs.json_text import Amount, Count, Fraction, Positive


class Staleness(Struct, frozen=True):
    """Staleness: the versions between the weights that a gradient was computed with and those that it was applied to.

    Parameters
    ----------
    mean, max
        In versions; 0 if there were no updates.
    histogram
        Number of updates by staleness, in ascending order.

    Examples
    --------
    >>> Staleness.from_counts({2: 1, 0: 3})
    Staleness(mean=0.5, max=2, histogram={0: 3, 2: 1})
    """

    mean: Amount
    max: Count
    histogram: dict[Count, Positive]

    @classmethod
    def from_counts(cls, counts: Mapping[int, int]) -> "Staleness":
        """Make it from the number of updates by staleness."""
        histogram = {versions: counts[versions] for versions in sorted(counts) if counts[versions]}
        total = sum(versions * count for versions, count in histogram.items())
        return cls(total / max(1, sum(histogram.values())), max(histogram, default=0), histogram)


class PrequentialError(Struct, frozen=True):
    """The prequential error: the fraction of rows that were misclassified just before they were trained on.

    Dawid, "Statistical Theory: The Prequential Approach" (1984).

    Parameters
    ----------
    window
        Number of newest rows that `error` covers.
    error
        Of the newest `window` rows.
    overall
        Of all rows.
    """

    window: Positive
    error: Fraction
    overall: Fraction
