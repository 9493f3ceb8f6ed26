"""The site: `sphinx-build -W -b html docs dist/site`. Pages are plain Markdown, so that they read well without it."""

from __future__ import annotations

from typing import Any

project = "hsm"
author = "the maintainers of hsm"
language = "en"
root_doc = "index"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
nitpicky = True
myst_heading_anchors = 4
myst_links_external_new_tab = False
highlight_language = "none"  # only blocks that say their language are coloured


def _lead_home(app: object, name: str, source: list[str]) -> None:
    """The README is the front of the repository; the front of the site is its index."""
    source[0] = source[0].replace("](../README.md)", "](index.md)")


def setup(app: Any) -> None:
    app.connect("source-read", _lead_home)


html_theme = "furo"
html_title = "hsm"
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_css_files = ["hsm.css"]
html_static_path = ["static"]
html_theme_options = {"navigation_with_keys": True}
