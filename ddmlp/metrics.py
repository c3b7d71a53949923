"""What is measured while a run trains."""

import math
from dataclasses import dataclass


@dataclass
class Stretch:
    """Sums over the steps of a stretch: rows, their errors E, their mistakes, and the seconds they took."""

    rows: int = 0
    errors: float = 0.0
    mistakes: int = 0
    seconds: float = 0.0

    def add(self, rows: int, error: float, mistakes: int, seconds: float) -> None:
        """Add a step's sums."""
        self.rows += rows
        self.errors += error
        self.mistakes += mistakes
        self.seconds += seconds

    @property
    def error(self) -> float:
        """The mean error E of a row; nan where there were none."""
        return self.errors / self.rows if self.rows else math.nan

    @property
    def mistaken(self) -> float:
        """The fraction of rows that were recognised wrongly; nan where there were none."""
        return self.mistakes / self.rows if self.rows else math.nan

    @property
    def speed(self) -> float:
        """Rows a second; 0 where there were none."""
        return self.rows / self.seconds if self.seconds else 0.0
