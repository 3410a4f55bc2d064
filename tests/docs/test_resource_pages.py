"""Each resource has a page: every operation, parameter and field, and an example that runs."""

from __future__ import annotations

import functools
import importlib
import inspect
import re

import msgspec
import pytest

from docs.extensions.examples import example
from docs.extensions.generated import arguments, parts, resource
from docs.extensions.resources import COMMON, Page, html_list, ordered
from tests.support.doc_examples import compiled
from zoho_async import Session
from zoho_async.auth import MemoryStore
from zoho_async.description import operations
from zoho_async.operation import PRODUCTS
from zoho_async.sandbox import Sandbox

ORGANIZATION = 30_000_000


def names(product: str) -> list[str]:
    return sorted({each.resource.partition(".")[2] for each in operations(product)})


@pytest.mark.parametrize(
    "product", [pytest.param("books", marks=pytest.mark.long), *sorted({*PRODUCTS} - {"books"})]
)
async def test_the_example_of_each_resource_runs(
    product: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An organization for each example, because each has its own limits.
    ours = {each.resource.partition(".")[2] for each in operations(product) if each.evidence}
    numbered = sorted(names(product), key=lambda name: name in ours)
    organizations = {name: str(ORGANIZATION + n) for n, name in enumerate(numbered)}
    failed = {}
    shared = functools.partial(Session.from_env, tokens=MemoryStore())
    monkeypatch.setattr(Session, "from_env", shared)
    async with Sandbox(organizations=[*organizations.values()]) as sandbox:
        for name, organization in organizations.items():
            environment = sandbox.environment() | {"ZOHO_ORGANIZATION_ID": organization}
            for variable, value in environment.items():
                monkeypatch.setenv(variable, value)
            code = example(resource(product, name))
            try:
                await eval(compiled(code, name), {"print": lambda *values: None})
            except Exception as error:
                failed[name] = f"{error!r}\n{code}"
        assert sandbox.unknown == []
    assert failed == {}, "\n".join(failed.values())


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_page_has_every_operation_parameter_and_field(product: str) -> None:
    for name in names(product):
        page = Page(resource(product, name)).markdown()
        module = importlib.import_module(f"zoho_async.{product}.{name}")
        public = [each for each in module.__all__ if inspect.isfunction(getattr(module, each))]
        for each in public:
            assert f"\n### {each}\n" in page
            section = page.partition(f"\n### {each}\n")[2].partition("\n#")[0]
            for parameter in inspect.signature(getattr(module, each)).parameters:
                if parameter != "zoho" and parameter not in COMMON:
                    assert f"- **`{parameter}`** " in section, (name, each, parameter)
        sections = dict(re.findall(r"\n### (\w+)\n(.*?)(?=\n##|\Z)", page, re.DOTALL))
        for struct in re.findall(r"-> .*?(\w+)\]?$", page, re.MULTILINE):
            found = getattr(module, struct, None)
            if not (inspect.isclass(found) and issubclass(found, msgspec.Struct)):
                continue
            if struct in sections:
                fields = [each.name for each in msgspec.structs.fields(found)]
                shown = re.findall(r"^- \*\*`(\w+)`\*\*", sections[struct], re.MULTILINE)
                assert sorted(shown) == sorted(fields)


def test_the_usual_operations_come_first() -> None:
    page = Page(resource("books", "invoices")).markdown()
    shown = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert shown[:5] == ["list", "get", "create", "update", "delete"]
    assert ordered(["void", "get", "email", "list"]) == ["list", "get", "email", "void"]


def test_each_link_of_a_page_leads_to_a_heading() -> None:
    for product in PRODUCTS:
        for name in names(product):
            page = Page(resource(product, name))
            source = page.source()
            targets = {
                label.lower().replace(".", "-").replace("_", "-")
                for label in re.findall(r"^\((.+)\)=$", source, re.MULTILINE)
            }
            assert set(re.findall(r'href="#([^"]+)"', source)) <= targets


def test_facts_are_read_from_docstrings() -> None:
    about, sections = parts(
        "List invoices.\n\nScope: X.\n\n"
        "Args:\n    status: Filter: status of\n        it.\n    page: First.\n"
    )
    assert about == "List invoices.\n\nScope: X."
    assert arguments(sections["Args"]) == {"status": "Filter: status of it.", "page": "First."}


def test_a_list_becomes_html() -> None:
    line = "- **`tax_id`** [`Tax`](#books.taxes.fields.Tax), required: Less than `<3` \\*.\n"
    assert html_list(line) == (
        '<ul class="values">\n<li><strong><code class="literal">tax_id</code></strong> '
        '<a href="#books-taxes-fields-tax"><code class="literal">Tax</code></a>, required: '
        'Less than <code class="literal">&lt;3</code> *.</li>\n</ul>'
    )
