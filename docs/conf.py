"""Sphinx's configuration: `make docs` builds the site into docs/_build/html, offline."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from icmass import __version__

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "_ext"))

project = "icmass"
author = "The icmass developers"
copyright = author
version = release = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "command_pages",
    "notebook_files",
    "offline",
    "repository_links",
]
exclude_patterns = ["_build"]
default_role = "py:obj"
smartquotes_action = "D"  # dashes alone

# Pages are MyST Markdown; those of tutorials/ are notebooks, run at the build. A notebook whose
# code has not changed is taken from the cache.
myst_heading_anchors = 4
myst_links_external_new_tab = False
os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")  # tqdm, of its widgets
nb_execution_mode = "cache"
nb_execution_cache_path = str(HERE / "_build" / "notebook-cache")
nb_execution_in_temp = True
nb_execution_timeout = 900
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
nb_ipywidgets_js: dict[str, dict[str, str]] = {}

autodoc_member_order = "bysource"
autodoc_typehints = "none"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False  # a type "path" would become a link to some attribute of that name

html_theme = "furo"
html_title = f"icmass {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {
        "font-stack": "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', sans-serif",
        "font-stack--monospace": "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace",
    },
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
