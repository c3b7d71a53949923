"""What a browser would find in a page: its elements and its text, read strictly."""

import re
from html.parser import HTMLParser

VOID = {"img", "meta"}


class Page(HTMLParser):
    """elements: (name, attributes) in their order; text: all of it, but for styles, with single spaces."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
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

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        if not self._open or self._open[-1] != "style":
            self._parts.append(data)

    def all(self, name: str) -> list[dict[str, str | None]]:
        """The attributes of all elements of a name."""
        return [attributes for tag, attributes in self.elements if tag == name]

    def rows(self, html: str, kind: str) -> list[list[str]]:
        """The cells of the table of a class, by row."""
        table = re.search(rf'<table class="{kind}">(.*?)</table>', html, re.DOTALL)[1]
        lines = re.findall(r"<tr[^>]*>(.*?)</tr>", table)
        return [
            [re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line)] for line in lines
        ]

    def outside(self) -> list[str]:
        """Whatever would be fetched from elsewhere, or run."""
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
