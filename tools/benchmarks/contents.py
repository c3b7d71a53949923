"""The chapters, in their order."""

from tools.benchmarks import one_process, several_processes, time_to_goal
from tools.benchmarks.chapter import Chapter

CHAPTERS: tuple[Chapter, ...] = (one_process.CHAPTER, several_processes.CHAPTER, time_to_goal.CHAPTER)
