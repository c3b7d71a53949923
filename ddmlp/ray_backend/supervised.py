"""What the actors of servers have in common: pings, the end with the driver, and logs."""

import logging
import os
from pathlib import Path
from threading import Thread
from typing import Any

from ddmlp.ray_backend.log_transfer import BufferedLog
from ddmlp.ray_backend.socket_folder import wait_for_owner
from ddmlp.runs.log_files import LogFile, add_handler
from ddmlp.training.job import Job

BESIDE = "ping"  # the concurrency group of methods that run during another call
LOG_SECONDS = 10.0  # until a record that the server does not write is given up


def add_log(job: Job, name: str, writer: Any = None) -> None:
    """Write the log of this process to the file NAME.log of the run. writer: the actor that writes it, if the run's
    folder is on another node."""
    add_handler(LogFile.of_run(job.run, name) if writer is None else remote_log(writer, name), job.log_level)


def remote_log(writer: Any, name: str) -> logging.Handler:
    """A handler that has an actor write the records; see `ServerActor.write_log`."""
    import ray

    write = writer.write_log.options(concurrency_group=BESIDE)
    return BufferedLog(lambda record: ray.get(write.remote(name, record), timeout=LOG_SECONDS))


class Supervised:
    """An actor that the driver watches."""

    def end_with(self, folder: Path) -> None:
        """End this process once the owner of a folder of sockets has ended.

        Ray also does so, but not if its GCS is dead; and until then no other process could resume the run.
        """

        def end() -> None:
            wait_for_owner(folder)
            os._exit(1)

        Thread(target=end, daemon=True).start()

    def ping(self) -> int:
        """The number of the process. A separate thread answers, also during another call."""
        return os.getpid()
