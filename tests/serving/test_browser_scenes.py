"""The scenes of a run in Chromium, from traces made by hand: where each unit is, and what is shown first."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.hand_trace import HandTrace

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

# The scenes of the next clip of a trace, one for each event.
SCENES = """async ([events, ended]) => {
  const { History } = await import("./pages/history.js");
  const { Clips } = await import("./pages/clip.js");
  const { sceneAt } = await import("./pages/scene.js");
  const history = new History();
  history.take(events);
  const clips = new Clips(history);
  const clip = clips.next(ended);
  const told = clip.times.map((_, each) => sceneAt(clip, each));
  const scenes = told.map(({ units, ...rest }) => ({
    ...rest,
    units: units.map(({ unit, at, lane, ghost, slot, from }) => ({ key: unit.key, at, lane, ghost, slot, from })),
  }));
  return { scenes, times: clip.times, shows: clip.shows, factor: clip.factor, steps: clip.steps, shown: clips.shown,
    count: history.count };
}"""


def scenes(page: "Page", trace: HandTrace, *, ended: bool = True) -> dict[str, Any]:
    return page.evaluate(SCENES, [trace.events, ended])


def paths(told: dict[str, Any], key: str) -> list[tuple[object, ...]]:
    """Where the units with this key are, in order, without repetitions."""
    seen = [
        (unit["at"], unit.get("lane"), bool(unit.get("ghost")))
        for scene in told["scenes"]
        for unit in scene["units"]
        if unit["key"] == key
    ]
    return [each for at, each in enumerate(seen) if each not in seen[:at]]


def test_life_of_units(run_server, opened):
    """Each unit goes from the queue to its worker, and its gradient to the server, in the order of the trace."""
    trace = HandTrace()
    for _ in range(20):
        trace.step()
    page = opened(run_server)
    told = scenes(page, trace)
    assert [each["step"] for each in told["steps"]] == [16, 17, 18, 19]
    places = [("queue", None), ("hand", 2), ("work", 2), ("way", 2), ("server", 2)]
    assert paths(told, "17:1:1") == [(at, lane, False) for at, lane in places]
    assert (told["shown"], told["count"]) == (12, 60)
    for earlier, later in zip(told["shows"], told["shows"][1:], strict=False):
        assert 0 < later - earlier < 2
    assert told["times"] == sorted(set(told["times"]))
    added = [scene["server"]["added"] for scene in told["scenes"] if scene["server"]["step"] == 18]
    assert added == sorted(added)
    assert {*added} == {0, 1, 2, 3}
    versions = [scene["server"]["version"] for scene in told["scenes"]]
    assert versions == sorted(versions)
    assert {*versions} == {16, 17, 18, 19, 20}


def test_straggler(run_server, opened):
    """Its unit stays with it as a ghost, and goes to another worker, too; it is late until it answers."""
    trace = HandTrace()
    for _ in range(8):
        trace.step()
    trace.step(overtaken=2, stopped=30_000)
    for _ in range(30):
        trace.step()
    page = opened(run_server)
    told = scenes(page, trace)
    assert 8 in [each["step"] for each in told["steps"]], "the newest steps are not those that are shown"
    assert paths(told, "8:1:1") == [
        ("queue", None, False), ("hand", 2, False), ("work", 2, False), ("work", 2, True), ("hand", 1, False),
        ("work", 1, False), ("way", 1, False), ("server", 1, False),
    ]  # fmt: skip
    again = [
        unit for scene in told["scenes"] for unit in scene["units"] if unit["key"] == "8:1:1" and unit["lane"] == 1
    ]
    assert {unit["from"] for unit in again} == {2}, "it comes from the straggler"
    states = [next(each["state"] for each in scene["workers"] if each["lane"] == 2) for scene in told["scenes"]]
    assert states.index("late") > 0
    said = [scene["said"] for scene in told["scenes"] if scene["moment"] == "overtaken"]
    assert "Worker 1" in said[0]
    # Before the straggler answers, only the moment is known of its unit.
    trace.events = [each for each in trace.events if not (each["name"] != "overtaken" and slow(each))]
    told = scenes(page, trace)
    assert ("hand", 2, True) in paths(told, "8:1:1")
    assert ("server", 1, False) in paths(told, "8:1:1")


def slow(event: dict[str, Any]) -> bool:
    """Whether an event is one of the straggler's unit, as it writes them once it has answered."""
    lane = event["tid"] >> 1 if event["pid"] == 3 else event["tid"]
    return event["args"].get("step") == 8 and event["args"].get("first") == 1 and event["pid"] in (1, 3) and lane == 2


def test_killed_worker(run_server, opened):
    """It is gone, its unit goes to another worker, and a new one replaces it; urgent things come first, once."""
    trace = HandTrace()
    for _ in range(4):
        trace.step()
    trace.step(overtaken=2)
    for _ in range(40):
        trace.step()
    trace.step(killed=3)
    for _ in range(20):
        trace.step()
    trace.join(3)
    for _ in range(20):
        trace.step()
    page = opened(run_server)
    told = scenes(page, trace)
    gone = [scene for scene in told["scenes"] if scene["moment"] == "death"]
    assert "Worker 2" in gone[0]["said"]
    assert {each["worker"]: each["state"] for each in gone[0]["workers"]} == {0: "works", 1: "works", 2: "dead"}
    assert paths(told, "45:2:1")[1:3] == [("hand", 3, False), ("hand", 1, False)]
    order = page.evaluate(MOMENTS, trace.events)
    assert order == [["death"], ["joined"], ["overtaken"], [], []]


MOMENTS = """async (events) => {
  const { History } = await import("./pages/history.js");
  const { Clips } = await import("./pages/clip.js");
  const history = new History();
  history.take(events);
  const clips = new Clips(history);
  const told = () => clips.next().moments.map(({ name }) => name);
  return [told(), told(), told(), told(), told()];
}"""


def test_missing_events(run_server, opened):
    """A reader that is slower than the run misses some: no clip has a hole, and nothing is kept without bound."""
    trace = HandTrace()
    for _ in range(40):
        trace.step()
    half = [each for each in trace.events if each["args"].get("step", 0) not in range(10, 38)]
    page = opened(run_server)
    trace.events = half
    told = scenes(page, trace)
    assert [each["step"] for each in told["steps"]] == [38, 39]
    trace.events = [*half[len(half) // 2 :], {"ph": "M"}, {"ph": "X", "name": "read", "pid": 1, "tid": 1, "ts": 1}]
    assert scenes(page, trace)["steps"]
    kept = page.evaluate(
        """async (events) => {
          const { History } = await import("./pages/history.js");
          const history = new History();
          for (let each = 0; each < 400; each += 1) history.take(events);
          return [history.units.length, history.steps.length, history.moments.length, history.count];
        }""",
        trace.events,
    )
    assert max(kept[:3]) <= 6000
    assert kept[3] > 6000
