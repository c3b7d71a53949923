"""The store that has checkpoints of a run: continues from it, and fills it."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from ddmlp.api.options import Options
from ddmlp.api.run import new_run, run_in
from ddmlp.data.store import Store, is_store
from ddmlp.runs.backup import Backup
from ddmlp.runs.checkpoint_store import CheckpointStore
from ddmlp.runs.origin import Origin
from ddmlp.runs.run import Run

log = logging.getLogger(__name__)

Note = Callable[[str], None]


@contextmanager
def run_again(run: str | Path, options: Options, note: Note = lambda _: None) -> Iterator[tuple[Run, Options]]:
    """The run to continue, and the options with its store.

    If `run` is a store, a new folder gets the newest checkpoint. So does a folder without a run, if the options name a
    store. note: called with lines for the user.

    Raises
    ------
    ConfigError, RunError, StoreError, OSError
        There is neither a run nor a stored one.
    """
    source = options.checkpoint_uri
    if is_store(run):
        source = str(run)
        options = replace(options, checkpoint_uri=options.checkpoint_uri or source)
    with new_run(None) if is_store(run) else nullcontext(run_in(run)) as found:
        if source and not found.exists:
            store = CheckpointStore(Store(source), options.keep)
            with found:
                for complaint in store.restore(found):
                    log.warning("%s", complaint)
                    note(f"note: {complaint}")
            note(f"the newest checkpoint in {store.shown} is now in {found.path}")
        yield found, options


@contextmanager
def backup_of(run: Run, options: Options, begun: Origin | None) -> Iterator[Backup | None]:
    """What stores the checkpoints of a run, in the block; None if no store is named.

    begun: None if the run is new. Raises RunError if the store has another run, StoreError if it cannot be used.
    """
    if options.checkpoint_uri is None:
        yield None
        return
    store = CheckpointStore(Store(options.checkpoint_uri), options.keep)
    store.check_origin(begun, run)
    backup = Backup(store, run)
    try:
        yield backup
    except Exception:  # not KeyboardInterrupt, which ends the command at once
        backup.finish(options.timeouts.store)
        raise
    finally:
        backup.close()
