"""The benchmarks, in their order."""

from tools.benchmarks import (
    accuracy,
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

SUITE = (
    one_process.BENCHMARK,
    two_cores.BENCHMARK,
    several_processes.BENCHMARK,
    message_path.BENCHMARK,
    time_to_goal.BENCHMARK,
    *accuracy.BENCHMARKS,
    conversion.BENCHMARK,
    recognition.BENCHMARK,
    serving.BENCHMARK,
    start.BENCHMARK,
    memory.BENCHMARK,
    growth.BENCHMARK,
)
