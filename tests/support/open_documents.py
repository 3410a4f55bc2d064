"""Open, large documents of one party in the seed, so that any example fits them."""

from __future__ import annotations

from typing import Any

from zoho_async.sandbox.data.schemas import schemas
from zoho_async.sandbox.data.store import Store
from zoho_async.sandbox.rules.documents import KINDS, SETTLING
from zoho_async.sandbox.rules.settlement import ApplicationLedger

_LARGE = 10**6


def open_documents(store: Store, product: str, party: int = 0) -> None:
    """Open the first two and the last document of every family, for one contact."""
    parties = store.collection(store.world_of(product).parties)
    for kind in KINDS.values():
        schema = schemas(product).by_path.get((kind.word,))
        if schema is None or kind.role == "order":
            continue
        documents = store.at(schema, ())
        for index in {0, 1, documents.indexes()[-1]}:
            ApplicationLedger(store, product).undo_all((kind.word, documents.id(index)))
            state = documents.state(index)
            lines = "creditnote_items" if "creditnote_items" in state else "line_items"
            fields: dict[str, Any] = {kind.party: parties.id(party)}
            if kind.role == "payment":
                fields |= {"amount": _LARGE}
            else:
                fields |= {lines: [{"quantity": 1, "rate": _LARGE, "price": _LARGE}]}
                fields |= {"status": kind.opened, "total": _LARGE}
                fields |= {name: 0 for name in (*SETTLING, "total_credits_used") if name in state}
            if kind.word == "retainerinvoices":
                fields["payment_made"] = _LARGE
            documents.change(index, fields)
