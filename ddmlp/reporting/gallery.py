"""What a model recognises and how, shown: its confusion matrix, its surest mistakes, its first layer."""

from collections.abc import Sequence

from ddmlp.inference.evaluation import Evaluation
from ddmlp.reporting.images import digit, first_layer, units_shown
from ddmlp.reporting.markup import Html, join, table, tag
from ddmlp.reporting.mistakes import Mistake
from ddmlp.reporting.summary import RunSummary

MOST_CLASSES = 36  # in a matrix; of more, the most frequent confusions are listed
LISTED = 20
BAR, HEIGHT = 10, 40  # pixels of a probability's
BARS = 10  # of more classes, the most probable ones, and the truth


def gallery(story: RunSummary) -> Html:
    """The sections of one run."""
    parts = []
    if found := story.evaluation:
        parts += [tag("h4", "Confusion matrix"), _about(found), confusion(found)]
        parts += [tag("h4", "Surest mistakes"), mistakes(story.mistakes)]
    if model := story.model:
        shown, hidden = units_shown(model), model.weights.shape.hidden
        which = f"The {shown} of {hidden}" if shown < hidden else f"All {hidden}"
        about = (f"{which} hidden units, those with the largest weights to the outputs first. Orange pixels excite a "
                 "unit, blue ones inhibit it; those that are never inked keep what they were drawn with.")  # fmt: skip
        picture = tag("img", src=first_layer(model), class_="pixels sheet", alt=f"First layer: {about}")
        parts += [tag("h4", "First layer's weights"), tag("figure", picture, tag("figcaption", about))]
    return join(parts)


def confusion(found: Evaluation) -> Html:
    """The confusion matrix as a table whose mistakes are shaded by how frequent they are in their class."""
    classes = len(found.confusion)
    if classes > MOST_CLASSES:
        return _frequent(found)
    rows = []
    for true, counts in enumerate(found.confusion.tolist()):
        total = max(1, sum(counts))
        rows.append([str(true), *(_count(count, count / total, true == other) for other, count in enumerate(counts))])
    return table(rows, ["", *map(str, range(classes))], class_="confusion")


def mistakes(shown: Sequence[Mistake]) -> Html:
    """The mistakes with their images and the probability of each class."""
    return tag("div", *map(_mistake, shown), class_="mistakes") if shown else tag("p", "None.")


def _about(found: Evaluation) -> Html:
    text = f"{found.mistakes:,} mistakes in {found.rows:,} rows. True class by row, recognised class by column."
    return tag("p", text, class_="faint")


def _count(count: int, share: float, right: bool) -> Html:
    """What stands in a cell. What is right is hardly shaded, so that the mistakes stand out."""
    if not count:
        return tag("span", "·")
    kind, strength = ("--good", 0.15) if right else ("--mark", min(0.75, 0.1 + 12 * share))
    return tag("span", f"{count}", style=f"background: rgba(var({kind}), {strength:.2f})")


def _frequent(found: Evaluation) -> Html:
    """The most frequent confusions, where there are too many classes for a matrix."""
    counts = found.confusion.copy()
    counts[range(len(counts)), range(len(counts))] = 0
    order = (-counts).argsort(axis=None, kind="stable")[:LISTED]
    pairs = [divmod(int(place), len(counts)) for place in order]
    rows = [[str(true), str(other), f"{counts[true, other]:,}"] for true, other in pairs if counts[true, other]]
    return table(rows, ["true", "recognised as", "rows"])


def _mistake(mistake: Mistake) -> Html:
    name = f"a {mistake.truth}, recognised as {mistake.recognised}"
    truth = mistake.probabilities[mistake.truth]
    about = f": {mistake.confidence:.1%} sure, {truth:.1%} for the truth (row {mistake.row:,})"
    return tag(
        "figure",
        tag("img", src=digit(mistake.image), alt=f"Row {mistake.row}: {name}", class_="pixels"),
        _probabilities(mistake),
        tag("figcaption", tag("b", name), about),
    )


def _probabilities(mistake: Mistake) -> Html:
    """A bar for each class: what was recognised orange, the truth blue."""
    order = (-mistake.probabilities).argsort(kind="stable").tolist()
    shown = sorted({*order[:BARS], mistake.truth})
    values = [float(mistake.probabilities[each]) for each in shown]
    bars = []
    for place, (each, value) in enumerate(zip(shown, values, strict=True)):
        colour = {mistake.recognised: "rgb(var(--mark))", mistake.truth: "rgb(var(--good))"}.get(each, "currentColor")
        x, tall = place * BAR * 1.25, max(0.5, value * HEIGHT)
        bars.append(
            tag("rect", x=f"{x:g}", y=f"{HEIGHT - tall:.1f}", width=f"{BAR}", height=f"{tall:.1f}", fill=colour)
        )
        bars.append(tag("text", str(each), x=f"{x + BAR / 2:g}", y=f"{HEIGHT + 10}", font_size="9", fill="currentColor",
                        text_anchor="middle"))  # fmt: skip
    text = ", ".join(f"{each}: {value:.1%}" for each, value in zip(shown, values, strict=True))
    box = f"0 0 {len(shown) * BAR * 1.25:g} {HEIGHT + 13}"
    return tag("svg", join(bars), role="img", aria_label=f"Probabilities: {text}", viewBox=box)
