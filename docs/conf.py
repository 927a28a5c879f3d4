"""How the documentation is built: Markdown through MyST, shown by Furo (`make docs`)."""

from __future__ import annotations

import tomllib
from pathlib import Path

_project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]

project = "Holdpoint"
author = "The Holdpoint developers"
release = _project["version"]
extensions = ["myst_parser"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "Holdpoint"
html_show_sourcelink = False
# Examples of hazards are cut from sessions; the lexer need not like them.
suppress_warnings = ["misc.highlighting_failure"]
