"""The index of the search: each word is taken to its stem once, not once on every page."""

import functools
from typing import Any

from sphinx.application import Sphinx
from sphinx.search.en import SearchEnglish


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_search_language(English)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class English(SearchEnglish):
    """English with a memory."""

    def __init__(self, options: dict[str, str]) -> None:
        super().__init__(options)
        self.stem = functools.cache(super().stem)
