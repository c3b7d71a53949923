"""The chapters, in their order."""

from tools.benchmarks import conversion, growth, memory, recognition, start
from tools.benchmarks.chapter import Chapter

CHAPTERS: tuple[Chapter, ...] = (
    conversion.CHAPTER,
    recognition.CHAPTER,
    start.CHAPTER,
    memory.CHAPTER,
    growth.CHAPTER,
)
