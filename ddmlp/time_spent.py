"""Where the time of training went, shown."""

from collections.abc import Sequence

from ddmlp.markup import Html, comparison, join, tag
from ddmlp.story import Story
from ddmlp.time_split import TimeSplit

SERVER, ARITHMETIC, MESSAGES, WAITING = "server's own work", "arithmetic", "messages", "waiting for answers"
PARTS = {SERVER: "#0090d0", ARITHMETIC: "#009e73", MESSAGES: "#d55e00", WAITING: "#a08800"}
MEANING = {
    SERVER: "it received, added and applied gradients, and gave out units: all but having answers.",
    ARITHMETIC: "it waited while workers read rows and computed: for as long as a worker, on average, did not wait for "
    "a unit itself. In one process: all that computing the answers took.",
    MESSAGES: "it waited longer than that: at least this long messages were on their way, or the slowest worker was "
    "waited for.",
    WAITING: "arithmetic and messages together: workers that wait for rows that are still coming cannot be told from "
    "workers that wait for messages.",
}


def time_spent(names: Sequence[str], stories: Sequence[Story]) -> Html:
    """A bar for each run with what its server was at, what the parts are, and what was counted."""
    parts: list[Html] = []
    seen: set[str] = set()
    for name, story in zip(names, stories, strict=True):
        if split := story.split:
            spent = _parts(split)
            seen.update(spent)
            parts += [tag("h3", name), _bar(spent, split.seconds)]
    meanings = [tag("li", tag("b", part), f": {MEANING[part]}") for part in PARTS if part in seen]
    if meanings:
        about = ("What the server was at, of the time between lines of metrics in which nothing but training happened, "
                 "no test and no checkpoint:")  # fmt: skip
        parts += [tag("p", about), tag("ul", *meanings)]
    return join([*parts, comparison(names, [_waits(story) for story in stories])])


def _parts(split: TimeSplit) -> dict[str, float]:
    if split.messages is None:
        return {SERVER: split.server, WAITING: split.arithmetic}
    return {SERVER: split.server, ARITHMETIC: split.arithmetic, MESSAGES: split.messages}


def _bar(spent: dict[str, float], seconds: float) -> Html:
    shares = {part: each / seconds for part, each in spent.items()}
    text = ", ".join(f"{part} {share:.0%}" for part, share in shares.items())
    pieces = (tag("span", f"{part} {share:.0%}", style=f"flex: {share:.4f} 1 0; background: {PARTS[part]}")
              for part, share in shares.items() if share >= 0.005)  # fmt: skip
    return join([tag("div", *pieces, class_="bar", aria_hidden="true"),
                 tag("p", f"{text}, of {seconds:.2f} s", class_="faint")])  # fmt: skip


def _waits(story: Story) -> dict[str, str]:
    """Seconds that are counted, and high-water marks."""
    records = story.records
    ends, saved = records.sittings(), records.saved
    told = {"sittings": f"{len(records.started)}"} if len(records.started) > 1 else {}
    if ends:
        told |= {
            "training": f"{records.progress[-1].seconds:.2f} s, without tests, checkpoints and waits for rows to come",
            "the server spent on having answers": f"{sum(end.waited for end in ends):.2f} s",
            "... while units found no place in their queue": f"{sum(end.units.blocked for end in ends):.2f} s",
            "the workers, together, waited for units": f"{sum(end.gradients.blocked for end in ends):.2f} s, also "
            "during tests and checkpoints",
            "units on the books, at most": f"{max(end.units.high_water for end in ends)}",
            "answers that lay unread, at most": f"{max(end.gradients.high_water for end in ends)}",
        }
    if saved:
        told["checkpoints"] = f"{len(saved)}, {sum(each.seconds for each in saved):.2f} s"
    return told
