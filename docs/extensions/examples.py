"""Make an example for each resource: it lists, gets and creates what the description knows.

Each example runs in `tests/docs/test_resource_pages.py`, against the sandbox.
"""

from __future__ import annotations

import ast
import functools
import re
from typing import Final

from docs.extensions.generated import Function, Resource, Struct, names_in
from zoho_async.description import Field, OperationFacts, load

ID: Final = "460000000026049"
_TEXTS: Final = {
    "currency_code": "USD",
    "email": "ann@example.com",
    "email_id": "ann@example.com",
    "country": "U.S.A.",
    "time_zone": "America/New_York",
    "portal_name": "acme2026",
    "type": "one_time",
}
_VALUES: Final = {
    "decimal": 'Decimal("19.90")',
    "integer": "1",
    "boolean": "True",
    "date": "dt.date(2026, 1, 31)",
    "time": "dt.datetime.now(dt.UTC)",
    "any": '"1"',
}
#: Things that a create must name: where an example finds one, and the field with its id. The ids
#: of other things are placeholders.
_EXISTING: Final = {
    "customer_id": ("contacts", "contact_id"),
    "vendor_id": ("contacts", "contact_id"),
    "item_id": ("items", "item_id"),
    "account_id": ("chart_of_accounts", "account_id"),
    "paid_through_account_id": ("bank_accounts", "account_id"),
    "bill_id": ("bills", "bill_id"),
    "invoice_id": ("invoices", "invoice_id"),
    "location_id": ("locations", "location_id"),
    "plan_code": ("plans", "plan_code"),
    "product_id": ("products", "product_id"),
    "project_id": ("projects", "project_id"),
    "task_id": ("tasks", "task_id"),
    "user_id": ("users", "user_id"),
}
_OF_PRODUCT: Final = {"billing": {"customer_id": ("customers", "customer_id")}}
#: Fields of a line without required fields that make it a useful one.
_LINE: Final = ("item_id", "account_id", "quantity", "rate", "amount")


def example(resource: Resource) -> str:
    """The code of an example, imports included."""
    reading, creating = _list_and_get(resource), _create(resource)
    lines = [*reading, *([""] if reading and creating else []), *creating] or _any(resource)
    code = "\n".join(lines)
    names = sorted(name for name in _names(code) if name in resource.types.structs)
    imports = []
    if "dt." in code:
        imports.append("import datetime as dt")
    if "Decimal(" in code:
        imports.append("from decimal import Decimal")
    if imports:
        imports.append("")
    imports.append("from zoho_async import Session")
    errors = ["from zoho_async.errors import ReplyError"] if "ReplyError" in code else []
    if names:
        imports.append(_from(f"zoho_async.{resource.product}.{resource.name}", names))
    body = "\n".join(f"    {line}" if line else "" for line in lines)
    imports += errors
    return "\n".join([*imports, "", "async with Session.from_env() as zoho:", body])


def _from(module: str, names: list[str]) -> str:
    line = f"from {module} import {', '.join(names)}"
    if len(line) <= 88:
        return line
    return f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"


def _names(code: str) -> set[str]:
    wrapped = "async def f():\n" + "\n".join(f"    {line}" for line in code.splitlines())
    return {node.id for node in ast.walk(ast.parse(wrapped)) if isinstance(node, ast.Name)}


@functools.cache
def _facts(product: str) -> dict[str, OperationFacts]:
    return {each.name: each for each in load(product).operations}


def _fact(resource: Resource, function: str) -> OperationFacts:
    return _facts(resource.product)[f"{resource.product}.{resource.name}.{function}"]


def _list_and_get(resource: Resource) -> list[str]:
    listing = resource.functions.get("list")
    if listing is None or not _fact(resource, "list").top_level:
        return []
    row = (
        next(names_in(listing.returns.slice)) if isinstance(listing.returns, ast.Subscript) else ""
    )
    row_id = _fact(resource, "list").row_id
    bound = f"zoho.{resource.product}.{resource.name}"
    one = _noun(resource)
    fields = [each.name for each in resource.types.structs[row].fields]
    shown = row_id if row_id in fields else next(iter(fields), "extra")
    lines = [f"async for {one} in {bound}.list():", f"    print({one}.{shown})"]
    reading = resource.functions.get("get")
    if reading is not None and len(reading.positional) == 1 and row_id in fields:
        lines += [
            "",
            f"page = await {bound}.list(per_page=10)"
            if any(each.name == "per_page" for each in listing.named)
            else f"page = await {bound}.list()",
            f"{one} = await {bound}.get(page.rows[0].{row_id})",
        ]
    return lines


def _noun(resource: Resource) -> str:
    """The name of one record, as the body of a create is called."""
    creating = resource.functions.get("create")
    if creating is not None and creating.positional:
        name = creating.positional[-1].name
        if not name.endswith("_id") and name != "body":
            return name
    name = resource.name
    return name[:-3] + "y" if name.endswith("ies") else name.removesuffix("s")


def _create(resource: Resource) -> list[str]:
    creating = resource.functions.get("create")
    if creating is None or len(creating.positional) != 1:
        return []
    structs = [
        resource.types.structs[name]
        for name in names_in(creating.positional[0].type)
        if name in resource.types.structs
    ]
    required = [each for each in creating.named if each.required]
    if len(structs) != 1 or required:
        return []
    body = _fact(resource, "create").body
    made = _struct(structs[0], body, resource)
    lines = _call(f"{_noun(resource)} = await", creating, resource, [made])
    return [*_found(lines, resource), *lines]


def _found(lines: list[str], resource: Resource) -> list[str]:
    """Reads of what the call names, whose ids then replace placeholders in ``lines``."""
    reads: list[str] = []
    for field, (of, row_id) in (_EXISTING | _OF_PRODUCT.get(resource.product, {})).items():
        one = field.removesuffix("_id").removesuffix("_code")
        placeholder = re.compile(rf'\b{field}="({ID}|{_text(field)})"')
        listing = _facts(resource.product).get(f"{resource.product}.{of}.list")
        exists = listing is not None and listing.top_level
        if of == resource.name or not exists or not any(placeholder.search(line) for line in lines):
            continue
        rows = f"await zoho.{resource.product}.{of}.list(per_page=1)"
        reads.append(f"{one} = ({rows}).rows[0]")
        lines[:] = [placeholder.sub(f"{field}={one}.{row_id}", line) for line in lines]
    customer = [each for each in reads if each.startswith("customer = ")]
    if customer and any(each.startswith("invoice = ") for each in reads):
        reads.remove(customer[0])  # the invoice names its customer
        lines[:] = [re.sub(r"\bcustomer\.\w+", "invoice.customer_id", line) for line in lines]
    return reads


def _struct(struct: Struct, facts: tuple[Field, ...], resource: Resource) -> str:
    """A struct with the required fields, or with some if none is required."""
    # A field that has the name of a Python builtin ends in "_" in the struct.
    declared = {each.name.rstrip("_"): each for each in struct.fields}
    known = [each for each in facts if each.name in declared]
    chosen = [each for each in known if each.required]
    chosen = chosen or [each for each in known if each.name in _LINE] or known[:1]
    given = [
        f"{declared[each.name].name}={_value(each, declared[each.name].type, resource)}"
        for each in chosen
    ]
    return f"{struct.name}({', '.join(given)})"


def _value(fact: Field, annotation: ast.expr, resource: Resource) -> str:
    nested = [name for name in names_in(annotation) if name in resource.types.structs]
    if fact.kind in ("object", "list") and nested:
        made = _struct(resource.types.structs[nested[0]], fact.fields, resource)
        return f"[{made}]" if fact.kind == "list" else made
    if fact.kind == "object":
        return "{}"
    if fact.kind == "list":
        return f"[{_plain(fact, fact.element or 'text')}]"
    return _plain(fact, fact.kind)


def _plain(fact: Field, kind: str) -> str:
    if fact.allowed:
        return f'"{fact.allowed[0]}"' if kind in ("text", "id") else fact.allowed[0]
    if kind == "id":
        return f'"{ID}"'
    if kind == "text":
        text = _TEXTS.get(fact.name) or _text(fact.name)
        return f'"{text[: fact.max_length]}"'
    return _VALUES[kind]


def _text(field: str) -> str:
    """A text that says which field it fills."""
    return field.replace("_", " ").capitalize()


def _call(head: str, function: Function, resource: Resource, given: list[str]) -> list[str]:
    """A call, with an argument per line if it is long."""
    call = f"{head} zoho.{resource.product}.{resource.name}.{function.name}"
    line = f"{call}({', '.join(given)})".lstrip()
    if len(line) <= 84:
        return [line]
    return [f"{call}(".lstrip(), *_wrapped(given), ")"]


def _wrapped(given: list[str]) -> list[str]:
    """Arguments, each on lines of at most the page's width where they can be split."""
    lines: list[str] = []
    for each in given:
        lines += _split(each, 1)
    return lines


def _split(text: str, depth: int) -> list[str]:
    """An expression as lines, split at the arguments of its outermost call or list."""
    indent = "    " * depth
    if len(indent) + len(text) <= 80 or text[-1] not in ")]":
        return [f"{indent}{text},"]
    opening = text.index("(" if text[-1] == ")" else "[")
    inner = ast.parse(text[text.index("=") + 1 :] if "=" in text[:opening] else text, mode="eval")
    node = inner.body
    parts = (
        [f"{each.arg}={_unparsed(each.value)}" for each in node.keywords]
        if isinstance(node, ast.Call)
        else [_unparsed(each) for each in node.elts]
        if isinstance(node, ast.List)
        else []
    )
    if not parts:
        return [f"{indent}{text},"]
    lines = [f"{indent}{text[: opening + 1]}"]
    for part in parts:
        lines += _split(part, depth + 1)
    return [*lines, f"{indent}{text[-1]},"]


def _unparsed(node: ast.expr) -> str:
    return ast.unparse(node).replace("'", '"')


def _any(resource: Resource) -> list[str]:
    """A call of the first operation that needs only ids, reads first."""
    simple = [
        each
        for each in resource.functions.values()
        if not any(value.required for value in each.named)
        and all(_is_id(value.type) for value in each.positional)
    ]
    reads = [each for each in simple if each.method == "GET"]
    function = (reads or simple or list(resource.functions.values()))[0]
    given = [f'{each.name}="{ID}"' for each in function.positional]
    kind = ast.unparse(function.returns)
    before = _found(given, resource)
    lines = _call("result = await", function, resource, given)
    if kind.startswith("Pager"):
        bound = f"zoho.{resource.product}.{resource.name}.{function.name}"
        lines = [f"async for row in {bound}({', '.join(given)}):", "    print(row)"]
    else:
        if kind == "Download":
            lines[-1] += ".read()"
        lines.append("print(result)")
    if any(ID in each for each in given):
        lines = ["try:", *(f"    {line}" for line in lines), "except ReplyError as error:"]
        lines.append("    print(error)")
    return [*before, *lines]


def _is_id(annotation: ast.expr) -> bool:
    return ast.unparse(annotation) in ("str | int", "str")
