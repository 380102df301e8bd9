"""The site: Sphinx over these pages, the docstrings of the installed package, and the catalogue of theorems."""

import sys
from pathlib import Path

from kd2m_theory import __version__

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "kd2m-theory"
version = release = __version__
author = "the kd2m-theory authors"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "gallery",  # first of ours: its second process then has the time that others need to load
    "accessible",
    "theorem_pages",
    "command_page",
    "folded_report",
    "navigation",
    "notation_page",
    "quick_search",
    "references_page",
    "markdown_docstrings",
    "site_checks",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["extensions", "static"]
root_doc = "index"

smartquotes_action = "D"  # dashes; a prime is a derivative and stays one
default_role = "literal"  # docstrings write `names` as Markdown does
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints = "none"  # docstrings say shapes and units, which types do not
autodoc_preserve_defaults = True
python_maximum_signature_line_length = 96
napoleon_use_ivar = True
napoleon_attr_annotations = False
napoleon_custom_sections = [("Source", "notes_style")]
add_module_names = False

html_theme = "furo"
html_title = f"kd2m-theory {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_theme_options = {"top_of_page_buttons": []}
