"""The envelope keys that Zoho was seen to use, even if its specification differs.

The client's functions are generated from the specification. If the sandbox took its keys from
there, it would confirm every wrong key. The keys here come from recorded traffic and from other
live clients.
"""

from __future__ import annotations

from typing import Final

from zoho_async.description import OperationFacts

#: Key of one record, by product and first word of the path, with its source.
_SEEN: Final[dict[tuple[str, str], str]] = {
    ("books", "chartofaccounts"): "chart_of_account",  # recorded
    ("books", "vendorpayments"): "vendorpayment",  # recorded
    ("inventory", "bundles"): "bundle",  # this and all that follow: used by live clients
    ("inventory", "compositeitems"): "composite_item",
    ("inventory", "itemgroups"): "item_group",
    ("inventory", "purchaseorders"): "purchaseorder",
    ("inventory", "purchasereceives"): "purchasereceive",
    ("inventory", "salesorders"): "salesorder",
    ("inventory", "shipmentorders"): "shipmentorder",
}


def key_of(facts: OperationFacts) -> str:
    """Return the key of one record in the reply; "" if its fields are at the top level."""
    first, *rest = facts.path.strip("/").split("/")
    is_one = not rest or (len(rest) == 1 and rest[0].startswith("{"))
    seen = _SEEN.get((facts.product, first)) if is_one else None
    return facts.key if seen is None else seen
