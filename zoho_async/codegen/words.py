"""Words: from Zoho's names to ours (singular and plural, CamelCase, names that Python allows)."""

from __future__ import annotations

import builtins
import keyword
import re
from typing import Final

_SAME: Final = frozenset(
    {"sms", "status", "address", "tax", "series", "details", "address_info", "news", "data", "gst"}
)
_IRREGULAR: Final = {
    "addresses": "address",
    "taxes": "tax",
    "branches": "branch",
    "batches": "batch",
    "statuses": "status",
    "currencies": "currency",
    "entries": "entry",
    "boxes": "box",
    "people": "person",
}
#: Words that Zoho writes as one.
_JOINED: Final = {
    "bankaccount": "BankAccount",
    "contactperson": "ContactPerson",
    "creditnote": "CreditNote",
    "deliverychallan": "DeliveryChallan",
    "moveorder": "MoveOrder",
    "pricebook": "PriceBook",
    "purchaseorder": "PurchaseOrder",
    "purchasereceive": "PurchaseReceive",
    "salesorder": "SalesOrder",
    "salesreturn": "SalesReturn",
    "salesreturnreceive": "SalesReturnReceive",
    "shipmentorder": "ShipmentOrder",
    "vendorpayment": "VendorPayment",
}
#: Names that a struct's body may not bind: the annotations below them would see the field.
_TAKEN: Final = frozenset(dir(builtins)) & {
    "bool", "dict", "float", "frozenset", "int", "list", "set", "str", "tuple", "type"
} | {"dt", "msgspec", "extra", "of"}  # fmt: skip


def singular(name: str) -> str:
    """``line_items`` -> ``line_item``; a word without a plural stays."""
    head, _, last = name.rpartition("_")
    if last in _IRREGULAR:
        last = _IRREGULAR[last]
    elif last.endswith("ies") and len(last) > 4:
        last = last[:-3] + "y"
    elif last.endswith(("sses", "shes", "ches")):
        last = last[:-2]
    elif last.endswith("s") and not last.endswith(("ss", "us", "is")) and last not in _SAME:
        last = last[:-1]
    return f"{head}_{last}" if head else last


def camel(name: str) -> str:
    """``line_item`` -> ``LineItem``, ``creditnotes`` -> ``CreditNotes``."""
    return "".join(_capital(word) for word in re.split(r"[^A-Za-z0-9]+", name) if word)


def _capital(word: str) -> str:
    one = word.removesuffix("s")
    if one in _JOINED:
        return _JOINED[one] + word[len(one) :]
    return word[:1].upper() + word[1:]


def snake(name: str) -> str:
    """``X-Upsert``, ``startTrial`` -> ``x_upsert``, ``start_trial``."""
    broken = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", broken.lower()).strip("_")


def identifier(name: str) -> str:
    """A name that Python allows for an argument."""
    safe = snake(name) or "value"
    if safe[0].isdigit():
        safe = f"_{safe}"
    return f"{safe}_" if keyword.iskeyword(safe) or safe in {"zoho", "list"} else safe


def function_name(name: str) -> str:
    """A name that Python allows for a function of a module, where ``list`` may be one."""
    safe = snake(name)
    return f"{safe}_" if keyword.iskeyword(safe) else safe


def attribute(name: str) -> str:
    """A name that Python allows for a field of a struct, without hiding what annotations use."""
    safe = re.sub(r"\W+", "_", name.strip())
    if not safe or safe[0].isdigit() or safe.startswith("_"):
        safe = f"field_{safe.strip('_')}"
    return f"{safe}_" if keyword.iskeyword(safe) or safe in _TAKEN else safe


def phrase(name: str) -> str:
    """``line_items`` -> ``line items``."""
    return name.replace("_", " ").strip()


def article(noun: str) -> str:
    """``an invoice``, ``a contact``."""
    silent = ("uni", "use")
    vowel = noun[:1].lower() in "aeiou" and not noun.lower().startswith(silent)
    vowel = vowel or noun.lower().startswith("sms")  # spoken letter by letter
    return f"{'an' if vowel else 'a'} {noun}"
