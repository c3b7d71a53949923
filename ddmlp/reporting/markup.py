"""HTML, in which everything that is not HTML already is escaped."""

from collections.abc import Mapping, Sequence
from html import escape

VOID = {"img", "meta"}


class Html(str):
    """Text that is HTML."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str) -> Html:
    """An element. `class_` is the attribute class, and aria_label is aria-label."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{given}>" if name in VOID else f"<{name}{given}>{join(children)}</{name}>")


def join(parts: Sequence[str]) -> Html:
    """The parts, one after the other."""
    return Html("".join(part if isinstance(part, Html) else escape(part) for part in parts))


def table(rows: Sequence[Sequence[str]], heading: Sequence[str] = (), **attributes: str) -> Html:
    """A table in a box that scrolls sideways where the page has no room. The first cell of a row is its heading."""
    return _table([_row(row) for row in rows], heading, **attributes)


def comparison(names: Sequence[str], told: Sequence[Mapping[str, str]], *, marked: bool = False) -> Html:
    """A table of what is told of each of `names`, a column for each. marked: what differs from the first one's is."""
    lines = []
    for what in dict.fromkeys(each for one in told for each in one):
        first, *others = (one.get(what, "") for one in told)
        marks = (tag("mark", other) if marked and other != first else other for other in others)
        lines.append(_row([what, first, *marks]))
    return _table(lines, ["", *names] if len(names) > 1 else []) if lines else Html()


def named(names: Sequence[str], parts: Sequence[Html]) -> list[Html]:
    """Each part below its name, where there are several names; without those that are empty."""
    heads = [tag("h3", name) if len(names) > 1 else Html() for name in names]
    return [join([head, part]) for head, part in zip(heads, parts, strict=True) if part]


def side_by_side(names: Sequence[str], parts: Sequence[Html]) -> Html:
    """The same, in columns as far as the page has room."""
    shown = [tag("div", part) for part in named(names, parts)]
    return tag("div", *shown, class_="grid") if shown else Html()


def _row(cells: Sequence[str]) -> Html:
    first, *rest = cells
    return tag("tr", tag("th", first, scope="row"), *(tag("td", cell) for cell in rest))


def _table(lines: Sequence[Html], heading: Sequence[str], **attributes: str) -> Html:
    head = [tag("thead", tag("tr", *(tag("th", cell, scope="col") for cell in heading)))] if heading else []
    # A box that scrolls must be reachable by the keyboard.
    return tag("div", tag("table", *head, tag("tbody", *lines), **attributes), class_="wide", tabindex="0")
