"""A strict parser of HTML pages: elements and text as a browser finds them."""

import re
from html.parser import HTMLParser

VOID = {"img", "meta"}


class Page(HTMLParser):
    """A parsed page.

    elements: (name, attributes) in order; text: all text except styles, with single spaces; tables: the class of each,
    and the text of its cells by row; marked: the texts of <mark> elements.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: list[tuple[str | None, list[list[str]]]] = []
        self.marked: list[str] = []
        self._open: list[str] = []
        self._parts: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []
        self.text = " ".join(" ".join(self._parts).split())

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append((dict(attrs).get("class"), []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][1][-1].append("")

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if "style" not in self._open:
            self._parts.append(data)
        if {"td", "th"} & {*self._open}:
            self.tables[-1][1][-1][-1] += data
        if "mark" in self._open:
            self.marked.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        """Return the attributes of all elements with a name."""
        return [attributes for tag, attributes in self.elements if tag == name]

    def pictures(self) -> list[str]:
        """Return the labels of all elements with the role img."""
        return [each["aria-label"] for _, each in self.elements if each.get("role") == "img"]

    def rows(self, kind: str | None = None) -> list[list[str]]:
        """Return the rows of all tables with a class, as lists of cell texts."""
        return [row for found, rows in self.tables if found == kind for row in rows]

    def outside(self) -> list[str]:
        """Return everything that would be loaded from another server, or executed."""
        found = [name for name, _ in self.elements if name in {"script", "link", "iframe", "object", "embed", "base"}]
        for _, attributes in self.elements:
            for name, value in attributes.items():
                if name.startswith("on"):
                    found.append(name)
                if name in {"src", "href", "xlink:href", "srcset", "action"} and not re.match(
                    r"data:image/png;|#", value
                ):
                    found.append(value)
                found += [url for url in re.findall(r"url\((.*?)\)", value or "") if not url.startswith("#")]
        return found
