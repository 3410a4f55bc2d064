"""Docstrings in our own words, composed of facts: purpose, what is needed, limits, scope."""

from __future__ import annotations

from typing import Final

from zoho_async.codegen import words
from zoho_async.codegen.functions import Function
from zoho_async.codegen.model import Resource
from zoho_async.codegen.naming import plural
from zoho_async.operation import BATCH

_PLAIN: Final = {
    "create": "Create {one}.",
    "get": "One {noun} with all its fields.",
    "update": "Change {one}; fields that are not sent stay as they are.",
    "delete": "Delete {one}.",
    "void": "Void {one}.",
    "approve_finally": "Approve {one} as the last approver.",
    "cancel_write_off": "Take back the write-off of {one}.",
    "export_pdf": "The PDFs of many {many}.",
    "get_current": "The {noun} whose access token is used.",
    "print_pdf": "The PDFs of many {many}, made for printing.",
    "upsert": (
        "Change the {noun} whose unique custom field ``key`` has ``value``, or create it where "
        "there is none. Doing so twice does no harm."
    ),
}
_TOWARDS: Final = frozenset({"add", "apply", "assign", "invite", "upload"})
_PREPOSITIONS: Final = frozenset({"as", "by", "for", "from", "in", "off", "of", "to", "with"})
_UNCOUNTED: Final = frozenset({"info", "metadata", "sms", "income", "loss"})
_SPELT: Final = {
    "cfdi": "CFDI",
    "einvoice": "e-invoice",
    "einvoices": "e-invoices",
    "html": "HTML",
    "pdf": "PDF",
    "qr": "QR",
    "sms": "SMS",
    "trn": "TRN",
}


def of_module(product: str, resource: Resource) -> str:
    """The docstring of a module of functions."""
    many = words.phrase(plural(resource.noun))
    about = f"{many.capitalize()} of Zoho {product.capitalize()}."
    if not resource.errors:
        return about
    codes = "; ".join(f"{code} {said}" for code, said in sorted(resource.errors.items()))
    return f"{about}\n\nError codes of their own: {codes}."


def of(function: Function, name: str = "", purpose: str = "") -> str:
    """The docstring of a function (or of its twin ``name``, which does ``purpose``)."""
    parts = [purpose or function.purpose or _purpose(function, name or function.name)]
    needed = [node.name for node in function.body_nodes if node.required]
    if needed and function.body != "raw" and not function.body_many:
        parts[0] += f" Needs {_listed(needed)}."
    if function.answer == "list":
        parts[0] = parts[0].removesuffix(".") + _walk(function)
    if function.answer == "file" and function.batches:
        parts[0] += f" One document holds those of {function.batch or BATCH} ids at most."
    elif function.batch:
        parts[0] += f" At most {function.batch} ids a call."
    if function.answer == "done" and function.call.method == "GET":
        parts[0] += " The answer is not described: find it in ``extra``."
    parts += _notes(function)
    scopes = f"Scope: {function.scope}." if function.scope else ""
    return "\n\n".join(part for part in (*parts, scopes) if part)


def _notes(function: Function) -> list[str]:
    """What is to be known beside the purpose."""
    notes: list[str] = []
    if function.ignored:
        which = "all filters" if "*" in function.ignored else _listed(list(function.ignored))
        notes.append(f"Zoho takes {which} and does not heed them here.")
    if function.changes:
        notes.append(f"``{function.changes}`` asks for what changed since a moment.")
    if function.alternatives:
        notes.append(f"Other documents give it as {_listed(list(function.alternatives))}.")
    if function.call.unconfirmed:
        notes.append("Unconfirmed: known from Books, and in no document of this product.")
    return [" ".join(notes)] if notes else []


def _purpose(function: Function, name: str) -> str:
    """What a function does, from its name and from whether it names one record or many."""
    noun = words.phrase(function.noun)
    one, many = words.article(noun), words.phrase(plural(function.noun))
    if name in _PLAIN:
        return _PLAIN[name].format(one=one, noun=noun, many=many)
    if name == "list":
        return f"List {many}"
    is_bulk = name.startswith("bulk_")
    verb, _, rest = name.removeprefix("bulk_").partition("_")
    is_of_one = _names_its_record(function)
    owner = f"many {many}" if is_bulk else one
    head, tail = _split(rest)
    if not head:
        said = f"{verb} {owner} {tail}" if verb != "get" else f"{owner} {tail}"
    else:
        thing = head if verb == "list" else _counted(head)
        joint = "to" if verb in _TOWARDS else "of"
        whose = f" {joint} {owner}" if is_bulk or is_of_one else ""
        said = f"{thing}{whose} {tail}" if verb == "get" else f"{verb} {thing}{whose} {tail}"
    said = " ".join(_SPELT.get(word, word) for word in said.split())
    return said[:1].upper() + said[1:] + ("" if verb == "list" else ".")


def _names_its_record(function: Function) -> bool:
    """Whether a function takes the id of a record that its module is about."""
    joined = function.noun.replace("_", "")
    if any(each.argument.replace("_", "") == f"{joined}id" for each in function.ids):
        return True
    parts = function.path.split("/")
    homes = {joined, plural(function.noun).replace("_", "")}
    return len(parts) > 2 and parts[1] in homes and parts[2].startswith("{")


def _split(rest: str) -> tuple[str, str]:
    """What a verb acts on, and what follows from a preposition on."""
    tokens = rest.split("_") if rest else []
    at = next((n for n, token in enumerate(tokens) if token in _PREPOSITIONS), len(tokens))
    return " ".join(tokens[:at]), " ".join(tokens[at:])


def _counted(thing: str) -> str:
    """A noun with its article, where it takes one."""
    last = thing.rpartition(" ")[2]
    is_many = last.endswith("s") and not last.endswith(("ss", "us", "is"))
    return thing if is_many or last in _UNCOUNTED else words.article(thing)


def _walk(function: Function) -> str:
    if not function.paged:
        return ", which come all at once."
    if function.order:
        return (
            f"; iterating reads every page, in order of ``{function.order}``. With a "
            "``sort_column`` of yours rows can move between pages meanwhile and be missed."
        )
    return "; iterating reads every page."


def _listed(names: list[str]) -> str:
    ticked = [f"``{name}``" for name in names]
    return ticked[0] if len(ticked) == 1 else f"{', '.join(ticked[:-1])} and {ticked[-1]}"
