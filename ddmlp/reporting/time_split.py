"""Where the time of training went, as far as the metrics tell."""

from collections.abc import Sequence
from dataclasses import dataclass

from ddmlp.reporting.markup import Html, comparison, join, named, tag
from ddmlp.reporting.style import BLUE, GREEN, OLIVE, ORANGE
from ddmlp.reporting.summary import RunSummary
from ddmlp.runs.events import Records

SERVER, ARITHMETIC, MESSAGES, WAITING = "server", "arithmetic", "messages", "waiting for answers"
PARTS = {SERVER: BLUE, ARITHMETIC: GREEN, MESSAGES: ORANGE, WAITING: OLIVE}
NAMED = 0.3  # the least share whose name fits into its part of a bar, on a phone, too
MEANING = {
    SERVER: "it received, added and applied gradients, and gave out units: all but having answers.",
    ARITHMETIC: "it waited while workers read rows and computed: for as long as a worker, on average, did not wait for "
    "a unit itself. In one process: all that computing the answers took.",
    MESSAGES: "it waited longer than that: at least this long messages were on their way, or the slowest worker was "
    "waited for.",
    WAITING: "arithmetic and messages together: workers that wait for rows that are still coming cannot be told from "
    "workers that wait for messages.",
}


@dataclass(frozen=True)
class TimeSplit:
    """Seconds of training, cut into what the server was at.

    Taken are the stretches between two lines of metrics in which nothing but training happened, because a worker that
    waits during a test or a checkpoint counts that as waiting for a unit, too.

    seconds: of all these stretches;
    server: it received, added and applied (what it did not spend on having answers);
    arithmetic: it waited for answers while the workers read rows and computed, at most as long as one worker, on
        average, did not wait for a unit; without workers, all that computing an answer took;
    messages: it waited for answers longer than that, so at least this went into messages on their way, and into waiting
        for the slowest worker; None where this cannot be told, and `arithmetic` is all of its waiting.
    """

    seconds: float
    server: float
    arithmetic: float
    messages: float | None

    @classmethod
    def of(cls, records: Records, *, follow: bool) -> "TimeSplit | None":
        """None where no stretch tells. follow: whether rows were still coming; a worker that waits for them counts that
        as waiting for a unit, too."""
        seconds = waited = busy = starved = 0.0
        for before, after in records.neighbours():
            stretch, idle = after.seconds - before.seconds, after.gradients.blocked - before.gradients.blocked
            seconds += stretch
            waited += after.waited - before.waited
            starved += idle
            busy += stretch - idle / max(1, after.workers)  # of one worker, on average
        if seconds <= 0:
            return None
        waited = min(waited, seconds)
        if not starved:  # nobody waits for messages where there are none: all in one process
            return cls(seconds, seconds - waited, waited, 0.0)
        if follow:
            return cls(seconds, seconds - waited, waited, None)
        arithmetic = min(waited, max(0.0, busy))
        return cls(seconds, seconds - waited, arithmetic, waited - arithmetic)

    @property
    def parts(self) -> dict[str, float]:
        """Seconds by what they are called."""
        if self.messages is None:
            return {SERVER: self.server, WAITING: self.arithmetic}
        return {SERVER: self.server, ARITHMETIC: self.arithmetic, MESSAGES: self.messages}


def time_split(names: Sequence[str], stories: Sequence[RunSummary]) -> Html:
    """A bar for each run with what its server was at, what the parts are, and what was counted."""
    splits = [TimeSplit.of(story.records, follow=story.config.follow) for story in stories]
    seen = {part for split in splits if split for part in split.parts}
    meanings = [tag("li", _swatch(part), tag("b", part), f": {MEANING[part]}") for part in PARTS if part in seen]
    about = ("What the server was at, of the time between lines of metrics in which nothing but training happened, no "
             "test and no checkpoint:")  # fmt: skip
    return join([
        *named(names, [_bar(split) if split else Html() for split in splits]),
        *([tag("p", about), tag("ul", *meanings, class_="parts")] if meanings else []),
        comparison(names, [_counted(story) for story in stories]),
    ])  # fmt: skip


def _swatch(part: str) -> Html:
    return tag("i", style=f"background: {PARTS[part]}")


def _bar(split: TimeSplit) -> Html:
    shares = {part: seconds / split.seconds for part, seconds in split.parts.items()}
    text = ", ".join(f"{part} {share:.0%}" for part, share in shares.items())
    pieces = (tag("span", f"{part} {share:.0%}" if share >= NAMED else "",
                  style=f"flex: {share:.4f} 1 0; background: {PARTS[part]}")
              for part, share in shares.items())  # fmt: skip
    return join([tag("div", *pieces, class_="bar", aria_hidden="true"),
                 tag("p", f"{text}, of {split.seconds:.2f} s", class_="faint")])  # fmt: skip


def _counted(story: RunSummary) -> dict[str, str]:
    """Seconds that are counted, and high-water marks."""
    records = story.records
    ends, saved = records.sittings(), records.saved
    told = {"sittings": f"{len(records.started)}"} if len(records.started) > 1 else {}
    if ends:
        starved = sum(end.gradients.blocked for end in ends)
        told |= {
            "training, without tests, checkpoints and waits for rows": f"{records.progress[-1].seconds:.2f} s",
            "the server spent on having answers": f"{sum(end.waited for end in ends):.2f} s",
            "... while units found no place in their queue": f"{sum(end.units.blocked for end in ends):.2f} s",
            "the workers, together, waited for units, also during tests and checkpoints": f"{starved:.2f} s",
            "units on the books, at most": f"{max(end.units.high_water for end in ends)}",
            "answers that lay unread, at most": f"{max(end.gradients.high_water for end in ends)}",
        }
    if saved:
        told["checkpoints"] = f"{len(saved)}, {sum(each.seconds for each in saved):.2f} s"
    return told
