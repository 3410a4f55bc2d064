"""The effect of the last words of a path, as in ``/bills/{bill_id}/status/void``.

A verb changes fields. Most verbs set the status: to the word that the specification of the resource
allows if one is spelled alike, else to the plain word. A few switch a field on or off. All others
change only the fields in the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

#: The status after a verb: the first that the specification allows, else the first.
_STATUS: Final[Mapping[str, tuple[str, ...]]] = {
    verb: tuple(words.split(","))
    for verb, words in {
        **dict.fromkeys(("active", "resume"), "active"),
        **dict.fromkeys(("open", "undelivered"), "open"),
        "converttoopen": "open,sent",
        **dict.fromkeys(("approve", "final"), "approved"),
        **dict.fromkeys(("returned", "return"), "returned"),
        **dict.fromkeys(("restore", "uncategorize", "unmatch"), "uncategorized"),
        **{word: word for word in ("inactive", "sent", "void", "draft", "accepted", "declined")},
        **{word: word for word in ("delivered", "billed", "cancelled", "confirmed", "bundled")},
        "submit": "pending_approval,submitted,pending",
        "reject": "rejected",
        "cancel": "cancelled,cancel",
        "issued": "issued,open",
        "stop": "stopped",
        "pause": "paused",
        "dismiss": "dismissed",
        "publish": "published",
        "reactivate": "live,active",
        "transferred": "transferred",
        "intransit": "in_transit",
        "inprogress": "in_progress,inprogress",
        "exclude": "excluded",
        "categorize": "categorized",
        "match": "matched",
        "sell": "sold",
        "writeoff": "write_off",
    }.items()
}
_SWITCHES: Final[Mapping[str, tuple[str, Any]]] = {
    "paymentreminder/enable": ("payment_reminder_enabled", True),
    "paymentreminder/disable": ("payment_reminder_enabled", False),
    "portal/enable": ("portal_status", "enabled"),
    "portal/disable": ("portal_status", "disabled"),
    "sms/enable": ("is_sms_enabled", True),
    "sms/disable": ("is_sms_enabled", False),
    "primary": ("is_primary_contact", True),
    "markasprimary": ("is_primary", True),
    "track1099": ("track_1099", True),
    "untrack1099": ("track_1099", False),
    "autobill/enable": ("autobill", True),
    "autobill/disable": ("autobill", False),
    "email": ("is_emailed", True),
    "addtoportal": ("show_in_storefront", True),
    "removefromportal": ("show_in_storefront", False),
}
#: Verbs that change an amount and not the status. `rules` applies them.
_NO_STATUS: Final = frozenset({"writeoff"})
#: Words whose body describes a message, not the record.
_MESSAGES: Final = frozenset({"email", "sms", "paymentreminder", "statements", "dsign", "mailpdf"})


def changes(
    words: Sequence[str], body: Mapping[str, Any], statuses: Sequence[str], known: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the fields that a verb sets in a record with the fields ``known``."""
    if words[:1] == ["address"] and len(words) == 2:
        return {f"{words[1]}_address": dict(body)} if f"{words[1]}_address" in known else {}
    changed = {} if _MESSAGES & set(words) else {k: v for k, v in body.items() if k in known}
    if words == ["customfields"] and "custom_fields" in body:
        changed["custom_fields"] = body["custom_fields"]
    switch = _SWITCHES.get("/".join(words))
    if switch is not None:
        if switch[0] in known:
            changed[switch[0]] = switch[1]
        return changed
    word = status_after(words, statuses)
    if word and "status" in known:
        changed["status"] = word
    if word in ("active", "inactive") and "is_active" in known:
        changed["is_active"] = word == "active"
    return changed


def status_after(words: Sequence[str], statuses: Sequence[str]) -> str:
    """Return the status of a record after a verb, or "" if the verb does not change it."""
    named = words[0] == "status" and len(words) == 2
    last = words[-1].removeprefix("markas")
    spelt = _STATUS.get(last, (last,) if named or last != words[-1] else ())
    if not spelt or (not named and len(words) > 1 and last != "final"):
        return ""
    for word in spelt:
        for allowed in statuses:
            if _plain(allowed) == _plain(word):
                return allowed
    return spelt[0] if last not in _NO_STATUS else ""


def _plain(word: str) -> str:
    return word.replace("_", "").replace("-", "").lower()
