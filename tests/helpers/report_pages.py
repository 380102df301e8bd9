"""The page of an audit as a tree, for tests that read it without a browser."""

from functools import cache
from html.parser import HTMLParser

from reports import report_of

from kd2m_theory.reporting.page import html_page

VOID = {"meta", "wbr"}


class Page(HTMLParser):
    """A page as a tree of (tag, attributes, text inside); a wrongly nested or unclosed element is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[dict] = []
        self.open: list[dict] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), f"{tag} has an attribute twice"
        node = {"tag": tag, "text": "", "inside": [outer["tag"] for outer in self.open], **dict(attrs)}
        self.found.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag, attrs):
        self.found.append({"tag": tag, "text": "", "inside": [outer["tag"] for outer in self.open], **dict(attrs)})

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for node in self.open:
            node["text"] += data

    def all(self, *tags):
        return [node for node in self.found if node["tag"] in tags]


def page_of(report, **arguments):
    return Page(html_page(report.to_dict(), **arguments))


@cache
def page_of_case(case):
    return page_of(report_of(case))
