"""Process groups: a child that is forked in the block has one of its own, others have that of their parent."""

import subprocess
import sys

# In a process of its own: this one may have threads, and is not to be forked.
SCRIPT = """if True:
    import os
    from contextlib import suppress
    from ddmlp.ray_backend.process_groups import own_process_groups

    def child():
        number = os.fork()
        if number == 0:
            os._exit(1 if os.getpgrp() == os.getpid() else 2 if os.getpgrp() == os.getpgid(os.getppid()) else 3)
        return ("own", "ours", "another")[os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]) - 1]

    found = [child()]
    with own_process_groups():
        found += [child(), child()]
    found.append(child())
    with suppress(KeyError), own_process_groups():
        raise KeyError
    found.append(child())
    print(*found)
"""


def test_simple():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["ours", "own", "own", "ours", "ours"], "the last one after a block that failed"
