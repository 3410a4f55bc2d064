"""The documentation site: ``python -m sphinx -W docs build/docs``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from zoho_async import __version__

project = "zoho_async"
author = "the zoho_async developers"
copyright = "2026, the zoho_async developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",  # before `indented`, which reads what it makes of Args and Attributes
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "docs.extensions.indented",
    "docs.extensions.products",
    "docs.extensions.llms",
    "docs.extensions.sidebar",
]
exclude_patterns = ["examples", "extensions", "images", "static"]
html_theme = "furo"
html_title = f"zoho_async {version}"
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["tables.css"]
html_theme_options = {"navigation_with_keys": True}

# Docstrings name things in single backticks, as people write them; what is no name stays text.
default_role = "code"
napoleon_numpy_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True, "show-inheritance": True}
add_module_names = False
python_use_unqualified_type_names = True
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
copybutton_prompt_text = r"\$ "
copybutton_prompt_is_regexp = True
# No page is fetched by the build; `-b linkcheck` looks at links where there is a network.
linkcheck_timeout = 20
