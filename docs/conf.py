"""How Sphinx builds the documentation: the pages of this folder, and a reference from the docstrings."""

from __future__ import annotations

import ztfdb

project = "ztfdb"
author = "the ztfdb developers"
project_copyright = author
release = version = ztfdb.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
]
exclude_patterns = ["_build"]
default_role = "obj"  # docstrings name functions and classes in single backquotes

# Markdown
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
suppress_warnings: list[str] = []

# The reference
autodoc_typehints = "none"  # numpydoc states the types
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

html_theme = "pydata_sphinx_theme"
html_title = f"ztfdb {version}"
html_copy_source = False
html_theme_options = {"show_prev_next": False, "navigation_depth": 2, "secondary_sidebar_items": ["page-toc"]}
