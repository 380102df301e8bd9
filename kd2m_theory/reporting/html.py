"""HTML that is escaped by construction: text becomes markup only by way of `element`."""

from html import escape

from kd2m_theory.words import harmless

# An element that may contain nothing has no end tag.
_VOID = {"meta", "br", "rect", "line", "circle", "path"}


class Html(str):
    """Finished markup. Every other string is text, and is escaped where it becomes part of a page."""

    __slots__ = ()


def text(value: str) -> Html:
    """The value as markup: itself if it is markup already, escaped if it is text."""
    return value if isinstance(value, Html) else Html(escape(harmless(value), quote=False))


def join(parts: "list[Html] | tuple[Html, ...]", between: str = "") -> Html:
    """Parts of a page in one piece."""
    return Html(between.join(parts))


def element(name: str, /, *children: str, **attributes: str | float) -> Html:
    """An element with its children and attributes.

    In attribute names `_` stands for `-`, and a trailing `_` is dropped (`class_`).
    """
    shown = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{escape(harmless(str(value)))}"' for key, value in attributes.items()
    )
    if name in _VOID:
        # A slash closes elements of SVG and means nothing elsewhere.
        return Html(f"<{name}{shown}/>")
    return Html(f"<{name}{shown}>{join([text(child) for child in children])}</{name}>")
