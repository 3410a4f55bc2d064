"""The envelope keys that the service was seen to use, whatever the description says.

The description is what the client's functions are made of. If the sandbox took its keys from there
too, it would answer what the client expects and hide every wrong key. So the keys that recorded
traffic and other live clients show are written down here, by product, method and path.
"""

from __future__ import annotations

from typing import Final

from zoho_async.description import OperationFacts

#: By product and first word of the path: the key of one record, and where it was seen.
_SEEN: Final[dict[tuple[str, str], str]] = {
    ("books", "chartofaccounts"): "chart_of_account",  # recorded
    ("books", "vendorpayments"): "vendorpayment",  # recorded
    ("inventory", "bundles"): "bundle",  # read by live clients, as all that follow
    ("inventory", "compositeitems"): "composite_item",
    ("inventory", "itemgroups"): "item_group",
    ("inventory", "purchaseorders"): "purchaseorder",
    ("inventory", "purchasereceives"): "purchasereceive",
    ("inventory", "salesorders"): "salesorder",
    ("inventory", "shipmentorders"): "shipmentorder",
}


def key_of(facts: OperationFacts) -> str:
    """The key under which ``facts`` answers one record; "" for fields at the top."""
    first, *rest = facts.path.strip("/").split("/")
    is_one = not rest or (len(rest) == 1 and rest[0].startswith("{"))
    seen = _SEEN.get((facts.product, first)) if is_one else None
    return facts.key if seen is None else seen
