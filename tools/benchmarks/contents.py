"""The chapters, in their order."""

from tools.benchmarks import (
    conversion,
    growth,
    memory,
    message_path,
    one_process,
    recognition,
    serving,
    several_processes,
    start,
    time_to_goal,
    two_cores,
)
from tools.benchmarks.chapter import Chapter

CHAPTERS: tuple[Chapter, ...] = (
    one_process.CHAPTER,
    two_cores.CHAPTER,
    several_processes.CHAPTER,
    message_path.CHAPTER,
    time_to_goal.CHAPTER,
    conversion.CHAPTER,
    recognition.CHAPTER,
    serving.CHAPTER,
    start.CHAPTER,
    memory.CHAPTER,
    growth.CHAPTER,
)
