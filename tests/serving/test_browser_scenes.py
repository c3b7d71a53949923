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

# The numbers of the workers after some events, the steps that are known, and how many units clips have shown.
KNOWN = """async (parts) => {
  const { History } = await import("./pages/history.js");
  const { Clips } = await import("./pages/clip.js");
  const history = new History();
  for (const [events, cut] of parts) history.take(events, cut);
  const clips = new Clips(history);
  for (let each = 0; each < 20; each += 1) clips.next(true);
  const workers = history.workersAt(Infinity).map(({ worker }) => worker);
  return { workers, steps: history.steps.map(({ step }) => step), shown: clips.shown, count: history.count };
}"""


def test_resumed(run_server, opened):
    """Workers that do not join the server again are gone; the oldest ones are shown until the first one has joined."""
    trace = HandTrace()
    for _ in range(4):
        trace.step()
    trace.moment("restart", 0, step=4)
    page = opened(run_server)
    known = page.evaluate(KNOWN, [[trace.events, False]])
    assert known["workers"] == [0, 1, 2]
    trace.lanes = {}
    trace.join(1)
    trace.join(7)
    for _ in range(8):
        trace.step()
    known = page.evaluate(KNOWN, [[trace.events, False]])
    assert known["workers"] == [1, 7]
    assert 0 < known["shown"] <= known["count"], "a unit that is shown again counts once"


def test_missing_events(run_server, opened):
    """A reader that is slower than the run misses some: no clip has a hole, and nothing is kept without bound."""
    trace = HandTrace()
    for _ in range(40):
        trace.step()
    whole, names = trace.events, [(each["name"], each["args"].get("step")) for each in trace.events]
    half = [each for each in whole if each["args"].get("step", 0) not in range(10, 38)]
    page = opened(run_server)
    trace.events = half
    told = scenes(page, trace)
    assert [each["step"] for each in told["steps"]] == [38, 39]
    middle, end = (names.index(("computed", step)) for step in (2, 20))
    known = page.evaluate(KNOWN, [[whole[:middle], False], [whole[end:], True]])
    assert known["steps"] == [0, 1, *range(21, 40)], "step 20 lacks units"
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


# What a timeline shows of parts of a trace, in which it has zoomed out.
TIMELINE = """async (parts) => {
  const { Timeline } = await import("./pages/timeline.js");
  const place = document.createElement("div");
  document.body.append(place);
  const timeline = new Timeline(place);
  for (const [events, cut] of parts) timeline.take(events, cut);
  const canvas = place.querySelector("canvas");
  const drawn = async () => {
    for (let each = 0; each < 3; each += 1) await new Promise(requestAnimationFrame);
    return { from: Number(canvas.dataset.from), to: Number(canvas.dataset.to) };
  };
  const newest = await drawn();
  place.querySelector("[aria-label='Show all']").click();
  return { newest, all: await drawn(), key: place.lastElementChild.textContent };
}"""


def test_timeline(run_server, opened):
    """It says where events are missing, keeps no more than some, and shows all before the first step is applied."""
    trace = HandTrace()
    for _ in range(50):
        trace.step()
    page = opened(run_server)
    events = trace.events
    assert "missed" not in page.evaluate(TIMELINE, [[events, False]])["key"]
    told = page.evaluate(TIMELINE, [[events[:200], True], [events[400:], True]])
    assert "missed" in told["key"]
    assert told["all"]["from"] == events[0]["ts"]
    open_step = [each for each in events[:14] if each["name"] not in ("applied", "start", "joined")]
    told = page.evaluate(TIMELINE, [[open_step, True]])
    assert told["newest"] == told["all"]
    assert told["all"]["to"] > told["all"]["from"]
    # The more lanes, the fewer slices of each are kept.
    one = next(each for each in events if each["name"] == "computed")
    many = [{**one, "ts": 1_000 * place} for place in range(3_000)]
    for lanes, most in {4: 30_000, 64: 150_000 // 64}.items():
        others = [{**one, "tid": 2 + lane, "ts": 0} for lane in range(lanes - 1)]
        begin = page.evaluate(TIMELINE, [[others + many, False]])["all"]["from"] // 1_000
        assert begin == 0 if most >= 3_000 else 3_000 - most <= begin < 3_000 - most / 2
