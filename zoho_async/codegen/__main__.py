"""``python -m zoho_async.codegen``: write the product modules, or check them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from zoho_async.codegen import check, distill, generate, spec
from zoho_async.codegen.model import Model, ModelError

_HELP: Final = """\
Without arguments it writes zoho_async/<product>/ and the README's table from codegen/spec/
and codegen/overrides.toml.

To change the generated code, edit codegen/overrides.toml (codegen/overrides.py explains its
tables), run this command and review the diff. To update from new files of Zoho, run
`distill` first.

examples:
  python -m zoho_async.codegen                                 write the files that differ
  python -m zoho_async.codegen --check                         compare only; exit 1 if files differ
  python -m zoho_async.codegen distill                         read Zoho's files of spec/ again
  python -m zoho_async.codegen distill --resource books/bills  add another file
"""
_REFERENCE: Final = Path("../shared/reference")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a step. Returns 0 if it succeeded, 1 if files differ, 2 if the input is wrong."""
    given = _parser().parse_args(arguments)
    reference: Path = given.reference
    try:
        if given.step == "distill":
            return _distill(reference, given.resource)
        if given.check:
            return _check(reference)
        return _generate()
    except ModelError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m zoho_async.codegen",
        description="Generate the product modules of zoho_async.",
        epilog=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("step", nargs="?", choices=["generate", "distill"], default="generate")
    parser.add_argument("--check", action="store_true", help="write nothing; list the differences")
    parser.add_argument(
        "--reference",
        type=Path,
        default=_REFERENCE,
        metavar="DIR",
        help="directory of Zoho's files, openapi/<product>/*.yml (default: %(default)s)",
    )
    parser.add_argument(
        "--resource",
        action="append",
        default=[],
        metavar="PRODUCT/FILE",
        help="file to distill; can be repeated (default: every file in spec/)",
    )
    return parser


def _distill(reference: Path, wanted: Sequence[str]) -> int:
    names = list(wanted) or [
        f"{product}/{resource}"
        for product in generate.PRODUCTS
        for resource in distill.resources(reference, product)
        if (spec.SPEC / product / f"{resource}.json").is_file()
    ]
    for name in names:
        product, _, resource = name.partition("/")
        try:
            source = distill.read(reference, product, resource)
        except FileNotFoundError as error:
            print(f"error: {error.filename} does not exist; see --reference", file=sys.stderr)
            return 2
        target = spec.SPEC / product / f"{resource}.json"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(spec.dump(source), encoding="utf-8")
        print(f"{name}: {len(source.calls)} operations, {len(source.objects)} objects")
    return 0


def _generate() -> int:
    built = generate.models()
    changed = generate.write(generate.texts(built))
    text = generate.README.read_text(encoding="utf-8")
    if text != generate.readme(text, built):
        generate.README.write_text(generate.readme(text, built), encoding="utf-8")
        changed.append("../README.md")
    for path in changed:
        print(f"wrote {path}")
    print(_summary(built) if changed else f"nothing to write: {_summary(built)}")
    return 0


def _check(reference: Path) -> int:
    built = generate.models()
    faults = [f"differs: {path}" for path in generate.differences(generate.texts(built))]
    text = generate.README.read_text(encoding="utf-8")
    if text != generate.readme(text, built):
        faults.append("differs: the table of README.md")
    there = (reference / "openapi").is_dir()
    for model in built:
        for line in check.report(model):
            print(line)
        count, lost = check.held(model)
        print(f"{model.product}: {count - len(lost)} of {count} described fields in structs")
        faults += [f"lost: {each}" for each in lost]
        faults += [f"result not used: {each}" for each in check.unanswered(model)]
        if there:
            faults += [f"missing: {each}" for each in check.missing(model, reference)]
            faults += [f"distill again: {each}" for each in check.stale(model, reference)]
    if there:
        print(f"compared with {reference}/openapi")
    else:
        print(f"not compared with Zoho's files: {reference}/openapi does not exist")
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(faults)} faults" if faults else f"up to date: {_summary(built)}")
    return 1 if faults else 0


def _summary(built: Sequence[Model]) -> str:
    functions = sum(len(model.functions()) for model in built)
    resources = sum(len(model.resources) for model in built)
    structs = sum(len(model.replies.shapes) + len(model.inputs.shapes) for model in built)
    return f"{functions} operations in {resources} resources, {structs} structs"


if __name__ == "__main__":
    raise SystemExit(main())
