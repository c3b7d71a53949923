"""The chapters, in their order."""

from tools.benchmarks.chapter import Chapter

CHAPTERS: tuple[Chapter, ...] = ()
