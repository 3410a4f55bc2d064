"""Items: goods and services. Some prices are too exact for a binary float."""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from zoho_async.sandbox.data.dates import day_formatted, stamp
from zoho_async.sandbox.data.seed import SampleData, amount_formatted
from zoho_async.sandbox.records.resource import (
    ACTIVE,
    INACTIVE,
    Record,
    ResourceRules,
    settle_custom_fields,
)

_THINGS: Final = ("Chair", "Lamp", "Cable", "Bolt", "Sensor", "Café crème", "Audit hour", "Coat")
_COLOURS: Final = ("red", "blue", "plain", '5" black', "grün")


def item_name(world: SampleData, index: int) -> str:
    """The name of item ``index``, without making the whole row."""
    draw = world.draw(Items.name, index)
    return f"{_THINGS[draw[0] % 8]} {_COLOURS[draw[1] % 5]} {index}"


class Items(ResourceRules):
    name: str = "books.items"
    path: str = "/items"
    key: str = "items"
    single: str = "item"
    id_field: str = "item_id"
    report_name: str = "Items"
    default_sort: tuple[str, str] = ("name", "A")
    searched: tuple[str, ...] = ("name", "description")
    added: str = "The item has been added."
    saved: str = "Item details have been saved."
    deleted: str = "The item has been deleted."
    missing: tuple[int, str] = (2006, "Item does not exist.")
    verbs: dict[str, tuple[str, str, str]] = {
        "active": ("status", ACTIVE, "The item has been marked as active."),
        "inactive": ("status", INACTIVE, "The item has been marked as inactive."),
    }
    blanks: Record = {
        **dict.fromkeys(("name", "item_name", "description", "sku", "unit"), ""),
        **dict.fromkeys(("tax_id", "tax_name", "tax_percentage"), ""),
        **dict.fromkeys(("purchase_description", "reorder_level"), ""),
        "rate": 0.0,
        "purchase_rate": 0.0,
        "status": ACTIVE,
        "source": "api",
        "product_type": "goods",
        "item_type": "sales",
        "is_taxable": True,
    }

    def row(self, world: SampleData, index: int) -> Record:
        draw = world.draw(self.name, index)
        name = f"{_THINGS[draw[0] % 8]} {_COLOURS[draw[1] % 5]} {index}"
        rate: float | Decimal = world.sales.price(index) / 100
        if draw[8] % 64 == 0:
            rate = Decimal(f"90071992547409{index % 1000:03d}.{draw[9]:03d}71")
        taxed = draw[10] % 3 == 0
        made = world.created(self.name, index)
        created, modified = stamp(made), stamp(world.modified(made, draw))
        return {
            "item_id": world.id(self.name, index),
            "name": name,
            "item_name": name,
            "unit": ("pcs", "h", "", "kg")[draw[11] % 4],
            "status": INACTIVE if draw[12] % 10 == 0 else ACTIVE,
            "status_formatted": "Inactive" if draw[12] % 10 == 0 else "Active",
            "source": "user",
            "source_formatted": "User",
            "is_linked_with_zohocrm": False,
            "zcrm_product_id": "",
            "description": f"{name}, as quoted" if draw[13] % 3 else "",
            "rate": rate,
            "rate_formatted": amount_formatted(rate, world.currency_symbol),
            "tax_id": world.fixed_id(301) if taxed else "",
            "tax_name": "VAT" if taxed else "",
            "tax_name_formatted": "VAT [20%]" if taxed else "",
            "tax_percentage": 20 if taxed else "",
            "account_id": world.fixed_id(401),
            "account_name": "Sales",
            "purchase_account_id": "",
            "purchase_account_name": "",
            "purchase_description": "",
            "purchase_rate": 0.0,
            "can_be_sold": True,
            "can_be_purchased": False,
            "track_inventory": False,
            "item_type": "sales",
            "item_type_formatted": "Sales Items",
            "product_type": "service" if draw[14] % 4 == 0 else "goods",
            "is_taxable": True,
            "is_backorder": "",
            "tax_exemption_code": "",
            "sku": f"SKU-{index:06d}" if draw[15] % 2 else "",
            "has_attachment": False,
            "image_name": "",
            "image_type": "",
            "reorder_level": "",
            **world.custom_fields(draw),
            "created_time": created,
            "created_time_formatted": day_formatted(created),
            "last_modified_time": modified,
            "last_modified_time_formatted": day_formatted(modified),
        }

    def detail(self, world: SampleData, index: int, row: Record) -> Record:
        twins = ("item_name", "has_attachment", "zcrm_product_id")
        shared = {
            name: value
            for name, value in row.items()
            if name not in twins and not name.endswith("_formatted")
        }
        return {
            **shared,
            "brand": "",
            "manufacturer": "",
            "pricebook_rate": row["rate"],
            "sales_rate": row["rate"],
            "is_default_tax_applied": False,
            "tax_type": 0 if row["tax_id"] else "",
            "tax_exemption_id": "",
            "hsn_or_sac": "",
            "vendor_id": "",
            "vendor_name": "",
            "package_details": dict.fromkeys(
                ("length", "width", "height", "weight", "weight_unit", "dimension_unit"), ""
            ),
            "item_tax_preferences": [],
            "sales_channels": [],
            "preferred_vendors": [],
            "documents": [],
            "tags": [],
            "locations": "",
            "minimum_order_quantity": "",
            "created_by_name": "Sam Sandbox",
        }

    def settle(self, world: SampleData, state: Record) -> None:
        settle_custom_fields(world, state)
        state["item_name"] = state["name"]
        state["rate_formatted"] = amount_formatted(state["rate"] or 0, world.currency_symbol)
        state["pricebook_rate"] = state["sales_rate"] = state["rate"]
        state["status_formatted"] = str(state["status"]).capitalize()
