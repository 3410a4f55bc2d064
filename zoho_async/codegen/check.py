"""Proofs that what is generated is complete, and a report of what was changed on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from zoho_async.codegen import distill, spec
from zoho_async.codegen.model import Model, same_request


def missing(model: Model, reference: Path) -> list[str]:
    """The operations of the official files of a product's resources that have no function.

    An operation that the overrides moved to another path is found under its own id.
    """
    functions = model.functions()
    served = {same_request(each.call.method, each.call.path) for each in functions}
    served |= {same_request(each.call.method, each.path) for each in functions}
    return [
        f"{model.product}/{resource.source}.yml: {method} {path}"
        for resource in model.resources
        for method, path, _ in _operations(reference, model.product, resource.source)
        if same_request(method, path) not in served
    ]


def stale(model: Model, reference: Path) -> list[str]:
    """The distilled files that the official files no longer give."""
    found: list[str] = []
    for resource in model.resources:
        source = distill.read(reference, model.product, resource.source)
        path = spec.SPEC / model.product / f"{resource.source}.json"
        if spec.dump(source) != path.read_text(encoding="utf-8"):
            found.append(f"spec/{model.product}/{resource.source}.json")
    return found


def report(model: Model) -> Iterator[str]:
    """What was merged and what was corrected, a line each."""
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


def _operations(reference: Path, product: str, resource: str) -> Iterator[tuple[str, str, str]]:
    parsed = distill.document(reference, product, resource)
    for method, path, operation in distill.operations(parsed):
        yield method, path, str(operation.get("operationId", ""))
