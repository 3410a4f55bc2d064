"""Checks that the generated code is complete, and a report of the applied changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from zoho_async.codegen import distill, observed, pages, spec
from zoho_async.codegen.answers import ENVELOPE
from zoho_async.codegen.functions import JSON
from zoho_async.codegen.kinds import Place
from zoho_async.codegen.model import Model, same_request
from zoho_async.codegen.reports import described_rows
from zoho_async.codegen.spec import Node
from zoho_async.codegen.structs import Family, Objects


def missing(model: Model, reference: Path) -> list[str]:
    """The described and the observed operations of a product that have no function.

    An operation whose path the overrides changed is found by its id.
    """
    functions = model.functions()
    served = {same_request(each.call.method, each.call.path) for each in functions}
    served |= {same_request(each.call.method, each.path) for each in functions}
    found = [
        f"{model.product}/{source}: {method} {path}"
        for source in distill.resources(reference, model.product)
        for method, path, _ in _operations(reference, model.product, source)
        if same_request(method, path) not in served
    ]
    found += [
        f"{model.product}/observed: {method} {path}"
        for method, path in observed.requests(reference, model.product)
        if same_request(method, path) not in served
    ]
    if model.product == "billing":
        served |= {
            same_request(each.call.method, path) for each in functions for path in each.alternatives
        }
        found += [
            f"billing/the page of invoices: {method} {path}"
            for method, path in pages.billing_requests(reference)
            if same_request(method, path) not in served
        ]
    return found


def stale(model: Model, reference: Path) -> list[str]:
    """The distilled files that differ from Zoho's files."""
    found: list[str] = []
    for name in distill.resources(reference, model.product):
        source = distill.read(reference, model.product, name)
        path = spec.SPEC / model.product / f"{name}.json"
        if not path.is_file() or spec.dump(source) != path.read_text(encoding="utf-8"):
            found.append(f"spec/{model.product}/{name}.json")
    return found


def held(model: Model) -> tuple[int, list[str]]:
    """The number of described fields in requests and replies, and the fields that have no struct.

    Each field is looked up in the function's struct, at the described place.
    """
    found = _Fields()
    for each in model.functions():
        reply = described_rows(each) if each.result in model.replies.shapes else ()
        found.look(each.full_name, reply, each.result, model.replies, each.reply_objects, "reply")
        body = each.body_nodes if each.body in model.inputs.shapes else ()
        found.look(each.full_name, body, each.body, model.inputs, each.objects, "body")
    return found.count, found.lost


def unanswered(model: Model) -> list[str]:
    """The functions that return `Done` although a value is described."""
    found: list[str] = []
    for each in model.functions():
        replies = [content.node for content in each.call.reply if content.media == JSON]
        nodes = each.reply_objects.get(replies[0].object, ()) if replies else ()
        held = [node.name for node in nodes if node.name not in ENVELOPE]
        if each.answer == "done" and held:
            found.append(f"{each.full_name}: {', '.join(held)}")
    return found


class _Fields:
    def __init__(self) -> None:
        self.count = 0
        self.lost: list[str] = []

    def look(
        self,
        where: str,
        nodes: Sequence[Node],
        struct: str,
        family: Family,
        objects: Objects,
        place: Place,
    ) -> None:
        shape = family.shapes.get(struct)
        for node in nodes:
            if place == "body" and node.read_only:
                continue
            self.count += 1
            member = shape.members.get(node.name) if shape else None
            if member is None:
                self.lost.append(f"{place} of {where}: {struct or 'no struct'} has no {node.name}")
                continue
            inner = objects.get((node.items or node).object, ())
            if inner and member.kind in {"object", "list"}:
                path = f"{where}.{node.name}"
                self.look(path, inner, member.struct, family, objects, place)


def report(model: Model) -> Iterator[str]:
    """One line per merged operation and per correction."""
    for resource in model.resources:
        corrected = [each for each in resource.functions if each.corrected]
        yield (
            f"{model.product}.{resource.name}: {len(resource.functions)} operations, "
            f"{len(corrected)} corrected"
        )
        for function in corrected:
            yield f"  corrected {function.call.id} -> {function.name}"
    for correction in model.corrections:
        yield f"  corrected {correction}"
    for dropped, kept in model.merged.items():
        yield f"  merged {dropped} into {kept}"
    marks = [each.call.confidence for each in model.functions() if each.call.evidence]
    if marks:
        sure = ", ".join(f"{marks.count(each)} {each}" for each in ("H", "M", "L"))
        yield f"{model.product}: {len(marks)} operations observed ({sure})"
    unconfirmed = sum(each.call.unconfirmed for each in model.functions())
    if unconfirmed:
        yield f"{model.product}: {unconfirmed} operations unconfirmed"


def _operations(reference: Path, product: str, resource: str) -> Iterator[tuple[str, str, str]]:
    parsed = distill.document(reference, product, resource)
    for method, path, operation in distill.operations(parsed):
        yield method, path, str(operation.get("operationId", ""))
