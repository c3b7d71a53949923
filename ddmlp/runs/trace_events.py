"""The events of a trace, as lines of its file: objects of Chrome's Trace Event Format, in JSON.

Times are whole microseconds. No two slices of a track overlap: `pid` and `tid` name the track.
"""

import json

from ddmlp.runs.trace_template import Template

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


def name_line(what: str, pid: int, tid: int, name: str) -> str:
    """The name of a process or a track. what: "process" or "thread"."""
    return _line({"ph": "M", "name": f"{what}_name", "pid": pid, "tid": tid, "args": {"name": name}})


def _line(event: dict[str, object]) -> str:
    return json.dumps(event, separators=(",", ":")) + ",\n"


def _slice(name: str, pid: object, tid: object, begin: str, end: str, arguments: str) -> str:
    """The template of a slice."""
    where = f'"pid":{pid},"tid":{tid},"ts":<{begin}>,"dur":<{end}-{begin}>'
    return f'{{"ph":"X","name":"{name}",{where},"args":{{{arguments}}}}},\n'


def _counter(name: str, moment: str, arguments: str) -> str:
    return f'{{"ph":"C","name":"{name}","pid":{PROCESSES},"tid":{SERVER},"ts":<{moment}>,"args":{{{arguments}}}}},\n'


_UNIT = '"step":<step>,"first":<first>,"count":<count>'
# What happens in each step is written by templates. Their indices:
UNIT, ADDED, APPLIED = range(3)
TEMPLATES = [
    Template(  # the life of a unit; place, way, lane: its tracks in `QUEUE`, `WAY` and `PROCESSES`
        "queued taken begun found computed answered",
        "place way lane worker step first count waiting held",
        _slice("queued", QUEUE, "<place>", "queued", "taken", _UNIT)
        + _slice("taken", WAY, "<way>", "taken", "begun", _UNIT)
        + _slice("read", PROCESSES, "<lane>", "begun", "found", _UNIT)
        + _slice("computed", PROCESSES, "<lane>", "found", "computed", _UNIT + ',"worker":<worker>')
        + _slice("sent", WAY, "<way>", "computed", "answered", _UNIT)
        + _counter("units", "answered", '"waiting":<waiting>,"held":<held>'),
    ),
    Template("begin end", "step first count", _slice("added", PROCESSES, SERVER, "begin", "end", _UNIT)),
    Template(
        "begin end",
        "step version read unread",
        _slice("applied", PROCESSES, SERVER, "begin", "end", '"step":<step>,"version":<version>,"read":<read>')
        + _counter("gradients", "end", '"unread":<unread>'),
    ),
]
