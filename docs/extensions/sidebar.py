"""Keep the headings of resource pages out of the navigation, but in each page's own contents.

Sphinx copies every heading of every page for the navigation of every page, and removes most of them
again. The pages of resources have 5,000 headings, so that took more than half of a build.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

from zoho_async.operation import PRODUCTS


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("env-updated", _shorten)
    app.connect("html-page-context", _contents, priority=900)  # after the theme's
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _shorten(app: Sphinx, env: BuildEnvironment) -> None:
    """Keep the title of each resource page in its contents, and put the whole contents aside."""
    whole: dict[str, nodes.Node] = getattr(env, "whole_contents", {})
    for name, contents in env.tocs.items():
        parts = name.split("/")
        if len(parts) == 3 and parts[1] in PRODUCTS:
            below = [each for each in contents.findall(nodes.bullet_list) if each is not contents]
            if below:
                whole[name] = contents.deepcopy()
                for each in below:
                    if each.parent is not None:
                        each.parent.remove(each)
    env.whole_contents = whole  # type: ignore[attr-defined]


def _contents(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Show the whole contents of the page itself."""
    whole = getattr(app.env, "whole_contents", {}).get(pagename)
    if whole is not None and app.builder.format == "html":
        context["furo_hide_toc"] = False
        context["toc"] = app.builder.render_partial(whole)["fragment"]  # type: ignore[attr-defined]
