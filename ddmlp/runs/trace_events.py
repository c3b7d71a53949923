"""The events of a trace, as lines of its file: objects of Chrome's Trace Event Format, in JSON.

Times are whole microseconds. No two slices of a track overlap: `pid` and `tid` name the track.
"""

import json

PROCESSES, QUEUE, WAY = 1, 2, 3  # pid: the server and the workers; places in the queue of units; messages on the way
SERVER = 0  # the server's tid
NAMES = {PROCESSES: "processes", QUEUE: "queue of units", WAY: "on the way"}


def slice_line(name: str, pid: int, tid: int, begin: int, end: int, arguments: str = "{}") -> str:
    """What a track did from `begin` to `end`. arguments: in JSON.

    >>> slice_line("test", PROCESSES, SERVER, 5, 7)
    '{"ph":"X","name":"test","pid":1,"tid":0,"ts":5,"dur":2,"args":{}},\\n'
    """
    return (
        f'{{"ph":"X","name":"{name}","pid":{pid},"tid":{tid},"ts":{begin},"dur":{end - begin},"args":{arguments}}},\n'
    )


def instant_line(name: str, tid: int, moment: int, **arguments: object) -> str:
    """What happened to a process."""
    found = {"ph": "i", "s": "t", "name": name, "pid": PROCESSES, "tid": tid, "ts": moment, "args": arguments}
    return _line(found)


def unit_lines(
    place: int,
    way: int,
    lane: int,
    what: str,
    worker: int,
    queued: int,
    taken: int,
    begun: int,
    found: int,
    computed: int,
    answered: int,
) -> str:
    """The life of a unit, in one text, because there are thousands a second. place, way, lane: its tracks in `QUEUE`,
    `WAY` and `PROCESSES`; what: its arguments, in JSON; the rest: when it was what."""
    return (
        f'{{"ph":"X","name":"queued","pid":2,"tid":{place},"ts":{queued},"dur":{taken - queued},"args":{what}}},\n'
        f'{{"ph":"X","name":"taken","pid":3,"tid":{way},"ts":{taken},"dur":{begun - taken},"args":{what}}},\n'
        f'{{"ph":"X","name":"read","pid":1,"tid":{lane},"ts":{begun},"dur":{found - begun},"args":{what}}},\n'
        f'{{"ph":"X","name":"computed","pid":1,"tid":{lane},"ts":{found},"dur":{computed - found},"args":{what[:-1]},'
        f'"worker":{worker}}}}},\n'
        f'{{"ph":"X","name":"sent","pid":3,"tid":{way},"ts":{computed},"dur":{answered - computed},"args":{what}}},\n'
    )  # fmt: skip


def units_line(moment: int, waiting: int, held: int) -> str:
    """How many units wait to be taken, and how many the workers have."""
    return f'{{"ph":"C","name":"units","pid":1,"tid":0,"ts":{moment},"args":{{"waiting":{waiting},"held":{held}}}}},\n'


def gradients_line(moment: int, unread: int) -> str:
    """How many gradients the server has not read."""
    return f'{{"ph":"C","name":"gradients","pid":1,"tid":0,"ts":{moment},"args":{{"unread":{unread}}}}},\n'


def name_line(what: str, pid: int, tid: int, name: str) -> str:
    """The name of a process or a track. what: "process" or "thread"."""
    return _line({"ph": "M", "name": f"{what}_name", "pid": pid, "tid": tid, "args": {"name": name}})


def _line(event: dict[str, object]) -> str:
    return json.dumps(event, separators=(",", ":")) + ",\n"
