"""Docstrings in our own words, composed of facts: purpose, what is needed, limits, scope."""

from __future__ import annotations

import re
from typing import Final

from zoho_async.codegen import words
from zoho_async.codegen.functions import Function
from zoho_async.codegen.model import Resource
from zoho_async.codegen.naming import plural
from zoho_async.operation import FILE_SIZE

_PLAIN: Final = {
    "create": "Create {one}{back}.",
    "get": "One {noun} with all its fields.",
    "update": "Change {one}{back}; fields that are not sent stay as they are.",
    "delete": "Delete {one}.",
    "void": "Void {one}.",
    "approve_finally": "Approve {one} as the last approver.",
    "cancel_write_off": "Take back the write-off of {one}.",
    "export_pdf": "The PDFs of many {many} in one document.",
    "get_email": "The email that goes out with {one} unless another is given.",
    "get_mail_content": "The email that goes out with {one} unless another is given.",
    "get_email_content": "The email that goes out with {one} unless another is given.",
    "get_payment_reminder": "The email that reminds a customer of {one}.",
    "get_reminder_mail_content": "The email that reminds a customer of {one}.",
    "get_statement_email": "The email that goes out with the statement of {one}.",
    "convert_to_open": "Mark {one} as open.",
    "update_template": "Choose the template in which {one} is shown.",
    "get_current": "The {noun} whose access token is used.",
    "print_pdf": "The PDFs of many {many} in one document, made for printing.",
    "upsert": (
        "Change the {noun} whose unique custom field ``key`` has ``value``, or create it where "
        "there is none. Doing so twice does no harm."
    ),
}
#: What joins a thing to the record that it belongs to, by what is done with it; "of" otherwise.
_JOINTS: Final = {
    **dict.fromkeys(("add", "apply", "assign", "invite", "upload"), "to"),
    **dict.fromkeys(("enable", "disable", "generate", "schedule", "send", "request"), "for"),
    **dict.fromkeys(("remove", "unlink"), "from"),
}
#: Verbs whose thing is not there before.
_MAKING: Final = frozenset(
    ["add", "apply", "create", "generate", "import", "log", "record", "schedule", "send", "upload"]
)
_PREPOSITIONS: Final = frozenset(
    ["as", "by", "for", "from", "in", "off", "of", "to", "using", "with"]
)
#: What follows a preposition without an article: states, not things.
_STATES: Final = frozenset(
    {"active", "approval", "billing", "draft", "finally", "inactive", "open", "portal", "post"}
    | {"primary", "push", "ready", "sent", "transit", "void"}
)
#: Things that a record is marked or categorized as.
_KINDS: Final = frozenset(
    ["card", "expense", "expenses", "image", "payment", "payments", "refund", "refunds"]
)
_UNCOUNTED: Final = frozenset(
    ["content", "history", "income", "info", "loss", "metadata", "mileage", "stock"]
)
_SPELT: Final = {
    "cfdi": "CFDI",
    "crm": "CRM",
    "einvoice": "e-invoice",
    "einvoices": "e-invoices",
    "html": "HTML",
    "pdf": "PDF",
    "gst": "GST",
    "id": "id",
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
    said = purpose or function.purpose or _purpose(function, name or function.name)
    if function.answer == "list":
        said = f"{said.removesuffix('.')}, {'page by page' if function.paged else 'all at once'}."
    notes = [*_notes(function), *_files(function, name)]
    scope = f"Scope: {function.scope}." if function.scope else ""
    return "\n\n".join(part for part in (said, " ".join(notes), scope) if part)


def _notes(function: Function) -> list[str]:
    """What is to be known beside the purpose."""
    needed = [node.name for node in function.body_nodes if node.required]
    notes: list[str] = []
    if needed and function.body != "raw" and not function.body_many:
        notes.append(f"Needs {_listed(needed)}.")
    if function.answer == "list":
        notes += _of_list(function)
    notes += _most(function)
    if function.answer == "done" and function.call.method == "GET":
        notes.append("The answer is not described: find it in ``extra``.")
    if function.note:
        notes.append(function.note)
    if function.alternatives:
        notes.append(f"Other documents give it as {_listed(list(function.alternatives))}.")
    if function.call.unconfirmed:
        notes.append("Unconfirmed: known from Books, and in no document of this product.")
    return notes


def _of_list(function: Function) -> list[str]:
    """What a list can do and what it cannot."""
    notes: list[str] = []
    if function.paged and function.order:
        notes.append(
            f"Iterated, rows come in order of ``{function.order}``; a ``sort_column`` of yours "
            "wins over it, and rows that move in that order meanwhile can be missed."
        )
    if function.ignored:
        one = len(function.ignored) == 1 and "*" not in function.ignored
        which = "all filters" if "*" in function.ignored else _listed(list(function.ignored))
        notes.append(f"Zoho takes {which} here and does not heed {'it' if one else 'them'}.")
    if function.changes:
        notes.append(f"``{function.changes}`` asks for what changed since a moment.")
    if function.per_page != 200:
        notes.append(f"A page holds {function.per_page} rows where ``per_page`` is not given.")
    if function.details and function.details != function.full_name:
        reader = function.details.rpartition(".")[2]
        notes.append(f"``{reader}`` reads many of them in full, by their ids.")
    return notes


def _most(function: Function) -> list[str]:
    """How many ids one call takes, and what becomes of more."""
    limited = function.limited
    if function.answer == "list":
        rows = [each for each in limited if function.names_rows(each)]
        where = "" if function.batches else " in ``{}``"
        return [
            f"More than {each.most} ids{where.format(each.argument)} are read by several calls."
            for each in rows
        ]
    if not limited:
        return []
    if function.answer == "file":
        return [f"One document holds those of {limited[0].most} ids at most."]
    said = [f"{limited[0].most} ids a call"]
    said += [f"{each.most} in ``{each.argument}``" for each in limited[1:]]
    return [f"At most {' and '.join(said)}; more are refused."]


def _files(function: Function, name: str) -> list[str]:
    """Which files a function takes."""
    if not function.uploads or function.answer == "file" or name:
        return []
    which = _listed([each.argument for each in function.uploads])
    size = (function.file_size or FILE_SIZE) // 1024**2
    kinds = f" {' '.join(function.file_types)}," if function.file_types else ""
    return [f"{which}:{kinds} {size} MB at most."]


def _purpose(function: Function, name: str) -> str:
    """What a function does, from its name and from whether it names one record or many."""
    noun = words.phrase(function.noun)
    one, many = words.article(noun), words.phrase(plural(function.noun))
    if name in _PLAIN:
        back = " and return it" if function.answer == "record" else ""
        return _PLAIN[name].format(one=one, noun=noun, many=many, back=back)
    if name == "list":
        return f"List {many}"
    verb, _, rest = name.removeprefix("bulk_").partition("_")
    is_many = name.startswith("bulk_") or _names_its_records(function)
    owner = f"many {many}" if is_many else one
    head, tail = _split(rest.replace("multiple_", ""))
    tail = _with_articles(tail)
    if not head:
        said = f"{verb} {owner} {tail}" if verb != "get" else f"{owner} {tail}"
    else:
        is_owned = is_many or _names_its_record(function)
        if not is_owned and _is_of_all(function, verb):
            is_owned, owner = True, many
        whose = f" {_JOINTS.get(verb, 'of')} {owner}" if is_owned else ""
        thing = _thing(function, verb, _qualified(function, head), is_owned)
        said = f"{thing}{whose} {tail}" if verb == "get" else f"{verb} {thing}{whose} {tail}"
    said = " ".join(_SPELT.get(word, word) for word in said.split())
    if verb == "update":
        said = said.replace("update", "change", 1)
    return said[:1].upper() + said[1:] + ("" if verb == "list" else f"{_returned(function, verb)}.")


def _returned(function: Function, verb: str) -> str:
    """What a function gives back, where its purpose does not say it."""
    result = re.sub(r"\b(\w+) \1\b", r"\1", words.phrase(words.snake(function.result)))
    thing = words.singular(_split(function.name.partition("_")[2])[0].replace(" ", "_"))
    made = verb in _MAKING | {"update"} and result.endswith(words.phrase(thing))
    if function.answer == "record" and made:
        return " and return it"
    if function.answer == "record" and verb != "get":
        return f"; returns the {result}"
    names = [node.name for node in function.reply]
    if function.answer == "values" and verb != "get" and 0 < len(names) <= 4:
        return f"; returns {_listed(names)}"
    return ""


def _thing(function: Function, verb: str, head: str, is_owned: bool) -> str:
    """What is acted on, with its article: "the" where the record has only one of them."""
    last = head.rpartition(" ")[2]
    is_many = last.endswith("s") and not last.endswith(("ss", "us", "is"))
    if verb in _MAKING or not is_owned or function.batches or len(function.ids) > 1:
        return head if is_many or last in _UNCOUNTED else words.article(head)
    return head if head.startswith("all ") else f"the {head}"


def _qualified(function: Function, head: str) -> str:
    """``exemption`` -> ``tax exemption``, where a word of the path has the whole name."""
    first, _, _ = function.noun.partition("_")
    for part in function.path.split("/"):
        for form in (head, plural(head.replace(" ", "_")).replace("_", " ")):
            if part == f"{first}{form}".replace(" ", ""):
                return f"{first} {head}"
    return head


def _with_articles(tail: str) -> str:
    """``to invoice`` -> ``to an invoice``; states stay as they are."""
    preposition, _, rest = tail.partition(" ")
    tokens = rest.split()
    if not tokens or tokens[0] in _STATES | _PREPOSITIONS or tokens[-1] in _STATES:
        return tail
    if preposition == "as":
        noun = words.singular(rest.replace(" ", "_")).replace("_", " ")
        return f"as {words.article(noun)}" if tokens[-1] in _KINDS else tail
    return f"{preposition} {_counted(rest)}"


def _names_its_records(function: Function) -> bool:
    """Whether a function takes ids of many records that its module is about."""
    ids = f"{function.noun}_ids".replace("_", "")
    return any(each.name.replace("_", "") == ids for each in function.batches)


def _is_of_all(function: Function, verb: str) -> bool:
    """Whether a function reads something of all records of its module: ``/invoices/templates``."""
    parts = function.path.split("/")
    home = plural(function.noun).replace("_", "")
    below = verb == "list" and len(parts) > 2 and parts[1] == home
    return not function.ids and (verb == "get" or below)


def _names_its_record(function: Function) -> bool:
    """Whether a function takes the id of a record that its module is about."""
    joined = function.noun.replace("_", "")
    needed = [*function.ids, *(each for each in function.query if each.required)]
    if any(each.argument.replace("_", "") == f"{joined}id" for each in needed):
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


def _listed(names: list[str]) -> str:
    ticked = [f"``{name}``" for name in names]
    return ticked[0] if len(ticked) == 1 else f"{', '.join(ticked[:-1])} and {ticked[-1]}"
