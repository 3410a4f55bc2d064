"""Complete workflows over HTTP with the generated functions, in strict mode."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal
from typing import Final, Literal

import pytest

from zoho_async import Limits, Session
from zoho_async.billing import customers, plans, products, subscriptions, unbilled_charges
from zoho_async.billing import invoices as billed
from zoho_async.billing import payments as billing_payments
from zoho_async.books import (
    bills,
    contacts,
    credit_notes,
    customer_payments,
    estimates,
    invoices,
    items,
    projects,
    purchase_orders,
    retainer_invoices,
    sales_orders,
    time_entries,
    users,
    vendor_payments,
)
from zoho_async.errors import InvalidRequest
from zoho_async.limits import MemoryLedger
from zoho_async.sandbox import Sandbox

DAY: Final = date(2026, 1, 1)


@pytest.fixture
async def zoho() -> AsyncIterator[Session]:
    async with Sandbox(per_minute=10**6, per_day=10**6, in_flight=10**3) as server:
        limits = Limits(limit=10**6, burst=10**6, in_flight=10**3)
        ledger = MemoryLedger()
        async with Session.from_env(
            server.environment(), limits=limits, ledger=ledger, strict=True
        ) as session:
            yield session


async def party(zoho: Session, kind: Literal["customer", "vendor"] = "customer") -> str:
    body = contacts.ContactCreate(contact_name=f"A {kind}", contact_type=kind)
    return (await contacts.create(zoho, body)).contact_id


async def item(zoho: Session) -> str:
    return (await items.create(zoho, items.ItemCreate(name="Bolt", rate=10))).item_id


async def order_status(zoho: Session, number: str) -> str | None:
    found = [each async for each in sales_orders.list(zoho) if each.salesorder_id == number]
    return found[0].status


async def test_an_estimate_becomes_an_order_an_invoice_and_cash(zoho: Session) -> None:
    customer, bolt = await party(zoho), await item(zoho)
    offered = await estimates.create(
        zoho,
        estimates.EstimateCreate(
            customer_id=customer,
            date=DAY,
            accept_retainer=True,
            retainer_percentage=20,
            line_items=[estimates.EstimateLineItemInput(item_id=bolt, rate=10, quantity=5)],
        ),
    )
    assert offered.total == 50
    await estimates.mark_as_sent(zoho, offered.estimate_id)
    await estimates.mark_as_accepted(zoho, offered.estimate_id)
    (retainer,) = [
        each async for each in retainer_invoices.list(zoho) if each.customer_id == customer
    ]
    assert retainer.status == "draft"
    assert retainer.total == 10
    line = sales_orders.SalesOrderLineItemInput(item_id=bolt, rate=10, quantity=5)
    await sales_orders.create(
        zoho,
        sales_orders.SalesOrderCreate(
            customer_id=customer, salesorder_number="SO-1", line_items=[line]
        ),
        ignore_auto_number_generation=True,
    )
    (ordered,) = [each async for each in sales_orders.list(zoho, salesorder_number="SO-1")]
    number = ordered.salesorder_id
    await sales_orders.mark_as_open(zoho, number)
    made = await invoices.create_from_sales_order(zoho, salesorder_id=number)
    assert made.total == 50
    assert await order_status(zoho, number) == "invoiced"
    await sales_orders.submit(zoho, number)
    assert await order_status(zoho, number) == "invoiced"
    with pytest.raises(InvalidRequest):
        await sales_orders.delete(zoho, number)

    await invoices.mark_as_sent(zoho, made.invoice_id)
    paying = customer_payments.CustomerPaymentCreate(
        customer_id=customer, payment_mode="cash", date=DAY, amount=10
    )
    paying.retainerinvoice_id = retainer.retainerinvoice_id
    await customer_payments.create(zoho, paying)
    drawn = retainer_invoices.RetainerPaymentsToInvoicesInvoicePaymentInput(
        invoice_id=made.invoice_id, amount_applied=10
    )
    await retainer_invoices.apply_retainer_payments_to_invoices(
        zoho,
        retainer.retainerinvoice_id,
        retainer_invoices.RetainerPaymentsToInvoicesInput(invoice_payments=[drawn]),
    )
    note = await credit_notes.create(
        zoho,
        credit_notes.CreditNoteCreate(
            customer_id=customer,
            date=DAY,
            creditnote_number="CN-1",
            line_items=[credit_notes.CreditNoteLineItemInput(item_id=bolt, rate=15, quantity=1)],
        ),
    )
    credited = credit_notes.CreditNoteToInvoicesInvoiceInput(
        invoice_id=made.invoice_id, amount_applied=15
    )
    await credit_notes.apply_to_invoices(
        zoho, note.creditnote_id, credit_notes.CreditNoteToInvoicesInput(invoices=[credited])
    )
    paid = customer_payments.CustomerPaymentInvoiceInput(
        invoice_id=made.invoice_id, amount_applied=25
    )
    await customer_payments.create(
        zoho,
        customer_payments.CustomerPaymentCreate(
            customer_id=customer, payment_mode="cash", date=DAY, amount=25, invoices=[paid]
        ),
    )
    settled = await invoices.get(zoho, made.invoice_id)
    assert settled.status == "paid"
    assert settled.balance == 0
    assert settled.payment_made == 35
    assert settled.credits_applied == 15
    await retainer_invoices.delete_applied_retainer_payment(
        zoho, retainer.retainerinvoice_id, made.invoice_id
    )
    reopened = await invoices.get(zoho, made.invoice_id)
    assert reopened.status == "partially_paid"
    assert reopened.balance == 10


async def test_a_purchase_order_is_billed_and_paid(zoho: Session) -> None:
    vendor, bolt = await party(zoho, "vendor"), await item(zoho)
    bought = await purchase_orders.create(
        zoho,
        purchase_orders.PurchaseOrderCreate(
            vendor_id=vendor,
            line_items=[
                purchase_orders.PurchaseOrderLineItemInput(item_id=bolt, rate=4, quantity=6)
            ],
        ),
    )
    await purchase_orders.mark_as_open(zoho, bought.purchaseorder_id)
    payload = (await bills.convert_purchase_order(zoho, [bought.purchaseorder_id])).bill
    assert payload is not None
    assert payload.line_items
    assert payload.vendor_id == vendor
    assert payload.total == 24
    lines = [
        bills.BillLineItemInput(
            purchaseorder_item_id=line.purchaseorder_item_id,
            item_id=line.item_id,
            rate=line.rate,
            quantity=line.quantity,
        )
        for line in payload.line_items
    ]
    made = await bills.create(
        zoho,
        bills.BillCreate(
            vendor_id=vendor,
            bill_number="B-1",
            date=DAY,
            purchaseorder_ids=[bought.purchaseorder_id],
            line_items=lines,
        ),
    )
    read = await purchase_orders.get(zoho, bought.purchaseorder_id)
    assert made.total == 24
    assert read.status == "billed"
    with pytest.raises(InvalidRequest):
        await bills.convert_purchase_order(zoho, [bought.purchaseorder_id])
    paid = vendor_payments.VendorPaymentBillInput(bill_id=made.bill_id, amount_applied=24)
    await vendor_payments.create(
        zoho, vendor_payments.VendorPaymentCreate(vendor_id=vendor, amount=24, bills=[paid])
    )
    settled = await bills.get(zoho, made.bill_id)
    assert settled.status == "paid"
    assert settled.balance == 0


async def test_hours_of_a_project_are_billed_once(zoho: Session) -> None:
    customer, user = await party(zoho), (await anext(aiter(users.list(zoho)))).user_id
    project = await projects.create(
        zoho,
        projects.ProjectCreate(
            project_name="Dig",
            customer_id=customer,
            billing_type="based_on_task_hours",
            rate=60,
            user_id=user,
        ),
    )
    number = project.project_id
    task = await projects.add_task(
        zoho, number, projects.ProjectTaskInput(task_name="Hole", rate=30)
    )
    entry = await time_entries.create(
        zoho,
        time_entries.TimeEntryCreate(
            project_id=number,
            task_id=task.task_id,
            user_id=user,
            log_date=DAY,
            log_time="01:20",
            is_billable=True,
        ),
    )
    await invoices.bulk_create_from_projects(zoho, project_ids=[number])
    await invoices.bulk_create_from_projects(zoho, project_ids=[number])
    (made,) = [each async for each in invoices.list(zoho, customer_id=customer)]
    assert made.total == 40
    read = await time_entries.get(zoho, entry.time_entry_id)
    assert read.billed_status == "invoiced"
    assert read.invoice_id == made.invoice_id
    await invoices.delete(zoho, made.invoice_id)
    read = await time_entries.get(zoho, entry.time_entry_id)
    assert read.billed_status == "unbilled"


async def test_a_subscription_is_charged_invoiced_and_collected(zoho: Session) -> None:
    made = await products.create(zoho, products.ProductCreate(name="Mail"))
    plan = plans.PlanCreate(
        plan_code="gold",
        name="Gold",
        product_id=made.product_id,
        recurring_price=Decimal("12.50"),
        interval=1,
        interval_unit="months",
    )
    await plans.create(zoho, plan)
    body = customers.CustomerCreate(display_name="Ada", email="ada@example.com")
    customer = (await customers.create(zoho, body)).customer_id
    live = await subscriptions.create(
        zoho,
        subscriptions.SubscriptionCreate(
            customer_id=customer,
            card_id="1",
            account_id="1",
            plan=subscriptions.SubscriptionPlanInput(plan_code="gold", quantity=2),
            add_to_unbilled_charges=True,
        ),
    )
    number = live.subscription_id
    assert live.status == "live"
    assert live.amount == 25
    charge = subscriptions.SubscriptionChargeInput(amount=5, add_to_unbilled_charges=True)
    await subscriptions.add_charge(zoho, number, charge)
    read = await subscriptions.get(zoho, number)
    aside = await unbilled_charges.get(zoho, str(read.unbilled_charge_id))
    assert aside.status == "open"
    assert aside.total == 30
    invoice = await unbilled_charges.convert_to_invoice(zoho, aside.unbilled_charge_id)
    assert invoice.total == 30
    assert invoice.status == "sent"
    with pytest.raises(InvalidRequest):
        await unbilled_charges.convert_to_invoice(zoho, aside.unbilled_charge_id)
    collected = await billed.collect_charge(
        zoho, invoice.invoice_id, billed.InvoiceCollectChargeInput(card_id="1")
    )
    assert (await billing_payments.get(zoho, collected.payment_id)).amount == 30
    paid = await billed.get(zoho, invoice.invoice_id)
    assert paid.status == "paid"
    assert paid.balance == 0
    ended = await subscriptions.cancel(zoho, number, cancel_at_end="true")
    assert ended.status == "non_renewing"
