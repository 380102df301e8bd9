"""HTML that is escaped by construction: text becomes markup only by way of `element`."""

import re
from html import escape

# An element that may contain nothing has no end tag.
_VOID = {"meta", "br", "rect", "line", "circle", "path"}
# What no HTML document may contain (controls, halves of surrogate pairs, noncharacters), and what reorders the text around it.
_FORBIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff\u202a-\u202e\u2066-\u2069]")


class Html(str):
    """Finished markup. Every other string is text, and is escaped where it becomes part of a page."""

    __slots__ = ()


def clean(text: str) -> str:
    """The text with characters that a page may not contain replaced by U+FFFD."""
    return _FORBIDDEN.sub("\ufffd", text)


def text(value: str) -> Html:
    """The value as markup: itself if it is markup already, escaped if it is text."""
    return value if isinstance(value, Html) else Html(escape(clean(value), quote=False))


def join(parts: "list[Html] | tuple[Html, ...]", between: str = "") -> Html:
    """Parts of a page in one piece."""
    return Html(between.join(parts))


def element(name: str, /, *children: str, **attributes: str | float) -> Html:
    """An element with its children and attributes.

    In attribute names `_` stands for `-`, and a trailing `_` is dropped (`class_`).
    """
    shown = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{escape(clean(str(value)))}"' for key, value in attributes.items()
    )
    if name in _VOID:
        # A slash closes elements of SVG and means nothing elsewhere.
        return Html(f"<{name}{shown}/>")
    return Html(f"<{name}{shown}>{join([text(child) for child in children])}</{name}>")
