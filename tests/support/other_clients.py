"""Other people's clients of Zoho, each doing what most programs do.

``python -m tests.support.other_clients CLIENT URL ORGANIZATION`` reads a list and all its pages,
reads, makes, changes and deletes a record, reads it once more, and prints what it saw as JSON. Each
client keeps its own way of encoding; only hosts are replaced, and frameworks that surround a client
(a server of tools, a store of secrets) are left out. Some write to stdout themselves, so that the
JSON is the last line.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import types
from collections.abc import Callable
from typing import Any, Final

from zoho_async.sandbox import Sandbox

NAME: Final = "A & B, ünïcode"
KEYS: Final = {
    "client_id": Sandbox.client_id,
    "client_secret": Sandbox.client_secret,
    "refresh_token": Sandbox.refresh_token,
}
Seen = dict[str, Any]


def books_token(url: str) -> str:
    """A token, for clients that leave it to their user."""
    import requests

    form = {**KEYS, "grant_type": "refresh_token"}
    reply = requests.post(f"{url}/oauth/v2/token", data=form, timeout=60)
    token: str = reply.json()["access_token"]
    return token


def module(name: str, **members: Any) -> types.ModuleType:
    """Put a module in the place of one that is not installed."""
    made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made
    return made


# -- zohopy: async and sync, Books and Inventory ---------------------------------------------------


def zohopy_config(url: str, organization: str) -> Any:
    import zohopy.config
    from zohopy.config import DataCenter, ZohoConfig

    for hosts in (zohopy.config._API_URLS, zohopy.config._ACCOUNTS_URLS):
        hosts[DataCenter.US] = url
    config: Any = ZohoConfig
    return config(**KEYS, organization_id=organization, data_center=DataCenter.US)


async def zohopy_books(url: str, organization: str) -> Seen:
    from zohopy import AsyncZohoClient
    from zohopy.exceptions import ZohoAPIError
    from zohopy.products.books.contacts import AsyncContacts

    async with AsyncZohoClient(zohopy_config(url, organization)) as client:
        contacts = AsyncContacts(client)
        listed = (await contacts.list())["contacts"]
        paged = [row async for page in contacts.list_all() for row in page["contacts"]]
        one = (await contacts.get(listed[0]["contact_id"]))["contact"]
        made = (await contacts.create({"contact_name": NAME}))["contact"]
        number = made["contact_id"]
        changed = (await contacts.update(number, {"notes": "Hello"}))["contact"]
        await contacts.mark_inactive(number)
        gone = await contacts.delete(number)
        error: Any = None
        try:
            await contacts.get(number)
        except ZohoAPIError as raised:
            error = raised
    return {
        "listed": len(listed),
        "paged": len(paged),
        "read": one["contact_id"] == listed[0]["contact_id"],
        "made": made["contact_name"],
        "changed": changed["notes"],
        "deleted": gone["code"],
        "error": str(error),
    }


def zohopy_inventory(url: str, organization: str) -> Seen:
    from zohopy import SyncZohoClient
    from zohopy.exceptions import ZohoAPIError
    from zohopy.products.inventory.items import Items

    with SyncZohoClient(zohopy_config(url, organization)) as client:
        items = Items(client)
        listed = items.list()["items"]
        paged = [row for page in items.list_all() for row in page["items"]]
        one = items.get(listed[0]["item_id"])["item"]
        made = items.create({"name": NAME, "rate": 12.5})["item"]
        number = made["item_id"]
        changed = items.update(number, {"description": "Hello"})["item"]
        gone = items.delete(number)
        error: Any = None
        try:
            items.get(number)
        except ZohoAPIError as raised:
            error = raised
    return {
        "listed": len(listed),
        "paged": len(paged),
        "read": one["item_id"] == listed[0]["item_id"],
        "made": made["name"],
        "changed": changed["description"],
        "deleted": gone["code"],
        "error": str(error),
    }


# -- pyzohoapi: slashes at the end, JSON without a content type ------------------------------------


def pyzohoapi_books(url: str, organization: str) -> Seen:
    from pyzohoapi import ZohoBooks

    return _pyzohoapi(ZohoBooks, f"{url}/books/v3", url, organization)


def pyzohoapi_inventory(url: str, organization: str) -> Seen:
    from pyzohoapi import ZohoInventory

    return _pyzohoapi(ZohoInventory, f"{url}/inventory/v1", url, organization)


def _pyzohoapi(kind: Any, base: str, url: str, organization: str) -> Seen:
    from pyzohoapi.exceptions import ZohoNotFound

    api = kind(organization, **KEYS)
    api._endpoint, api._oauth = base, f"{url}/oauth/v2"
    listed = api.get("contacts", "per_page=200")["contacts"]
    paged = list(api.Contact(per_page="200").Iter(raw=True))
    one = api.Contact(listed[0]["contact_id"])
    made = api.Contact()
    made.contact_name = NAME
    made.Create()
    name, number = made.contact_name, made.ID
    made.notes = "Hello"
    made.Update()
    changed = made.notes
    made.Delete()
    error = None
    try:
        api.get(f"contacts/{number}/", "")
    except ZohoNotFound as raised:
        error = str(raised)
    return {
        "listed": len(listed),
        "paged": len(paged),
        "read": listed[0]["contact_id"] == one.ID,
        "made": name,
        "changed": changed,
        "deleted": 0 if made.IsDeleted else 1,
        "error": error,
    }


# -- zohobooks-api: forms with JSONString ----------------------------------------------------------


def zohobooks_api(url: str, organization: str) -> Seen:
    """Its parsers want fields that only Indian organizations have, so replies stay as they are."""
    import books.api.Api

    class Here:
        base_url = f"{url}/books/v3/"

    books.api.Api.Api = Here
    import books.api.ContactsApi
    from books.exception.BooksException import BooksException
    from books.model.Contact import Contact

    books.api.ContactsApi.parser = types.SimpleNamespace(
        get_contacts=lambda reply: reply,
        get_contact=lambda reply: reply["contact"],
        get_message=lambda reply: reply["message"],
    )
    contacts = books.api.ContactsApi.ContactsApi(books_token(url), organization)
    listed = contacts.get_contacts()["contacts"]
    paged, page = [], 1
    while True:
        part = contacts.get_contacts({"page": page})
        paged += part["contacts"]
        if not part["page_context"]["has_more_page"]:
            break
        page += 1
    one = contacts.get(listed[0]["contact_id"])
    new = Contact()
    new.set_contact_name(NAME)
    made = contacts.create(new)
    number = made["contact_id"]
    new.set_notes("Hello")
    changed = contacts.update(number, new)
    gone = contacts.delete(number)
    error: Any = None
    try:
        contacts.get(number)
    except BooksException as raised:
        error = raised
    return {
        "listed": len(listed),
        "paged": len(paged),
        "read": one["contact_id"] == listed[0]["contact_id"],
        "made": made["contact_name"],
        "changed": changed["notes"],
        "deleted": 0 if gone == "The customer has been deleted." else gone,
        "error": error and error.message,
    }


# -- zoho-books-mcp: the tools without their server ------------------------------------------------


async def zoho_books_mcp(url: str, organization: str) -> Seen:
    import importlib.util

    os.environ.update({f"ZOHO_{name.upper()}": value for name, value in KEYS.items()})
    os.environ["ZOHO_ORGANIZATION_ID"] = organization
    os.environ["ZOHO_API_BASE_URL"] = f"{url}/books/v3"
    os.environ["ZOHO_AUTH_BASE_URL"] = f"{url}/oauth/v2"
    found = importlib.util.find_spec("zoho_mcp")  # finds the package without its server
    assert found is not None
    module("zoho_mcp", __path__=found.submodule_search_locations)
    from zoho_mcp.errors import ResourceNotFoundError
    from zoho_mcp.tools import contacts, validate_credentials

    valid, why = validate_credentials()
    assert valid, why
    listed = await contacts.list_contacts(page_size=200)
    paged, page = [], 1
    while True:
        part = await contacts.list_contacts(page=page, page_size=100)
        paged += part["contacts"]
        if not part["has_more_page"]:
            break
        page += 1
    one = await contacts.get_contact(listed["contacts"][0]["contact_id"])
    made = await contacts.create_customer(contact_name=NAME, email="a@example.com")
    number = made["contact"]["contact_id"]
    changed = await contacts.update_contact(number, notes="Hello")
    gone = await contacts.delete_contact(number)
    error: Any = None
    try:
        await contacts.get_contact(number)
    except ResourceNotFoundError as raised:
        error = raised
    return {
        "listed": len(listed["contacts"]),
        "paged": len(paged),
        "read": one["contact"]["contact_id"] == listed["contacts"][0]["contact_id"],
        "made": made["contact"]["contact_name"],
        "changed": changed["contact"]["notes"],
        "deleted": 0 if gone["success"] else 1,
        "error": error and error.details["response_data"]["message"],
    }


# -- arcade-zoho-books-api: one tool for each operation, without the framework of the tools --------


async def arcade(url: str, organization: str) -> Seen:
    import httpx

    module("arcade_tdk", ToolContext=object, tool=lambda **_: lambda function: function)
    module("arcade_tdk.auth", OAuth2=lambda **_: None)
    module("arcade_tdk.errors", RetryableToolError=RuntimeError)
    from arcade_zoho_books_api import tools

    token = books_token(url)

    async def sign(request: httpx.Request) -> None:
        # The client writes Bearer, which Zoho is not known to accept here.
        request.headers["Authorization"] = f"Zoho-oauthtoken {token}"

    tools.HTTP_CLIENT.event_hooks["request"].append(sign)

    class Context:
        def get_secret(self, name: str) -> str:
            return url

        def get_auth_token_or_empty(self) -> str:
            return token

    context: Any = Context()
    execute = tools.ToolMode.EXECUTE

    async def page(number: int) -> Any:
        reply = await tools.retrieve_contact_list(
            context, organization_identifier=organization, page_number_to_fetch=number
        )
        return reply["response_json"]

    first = await page(1)
    paged, number = list(first["contacts"]), 1
    while first["page_context"]["has_more_page"]:
        number += 1
        first = await page(number)
        paged += first["contacts"]
    who = paged[0]["contact_id"]
    one = await tools.retrieve_contact_details(context, organization, who)
    made = await tools.create_business_contact(
        context, execute, organization, json.dumps({"contact_name": NAME})
    )
    new = made["response_json"]["contact"]
    changed = await tools.update_business_contact(
        context, execute, organization, new["contact_id"], json.dumps({"notes": "Hello"})
    )
    gone = await tools.delete_contact(context, organization, new["contact_id"])
    error: Any = None
    try:
        await tools.retrieve_contact_details(context, organization, new["contact_id"])
    except httpx.HTTPStatusError as raised:
        error = raised.response
    return {
        "listed": (await page(1))["page_context"]["per_page"],
        "paged": len(paged),
        "read": one["response_json"]["contact"]["contact_id"] == who,
        "made": new["contact_name"],
        "changed": changed["response_json"]["contact"]["notes"],
        "deleted": gone["response_json"]["code"],
        "error": error and error.json()["message"],
    }


# -- the SDKs with tokens in a store of secrets: {} as body of every request -----------------------


def books_sdk(url: str, organization: str) -> Seen:
    _secrets(url, organization, "zoho_books", "zoho_books_python_sdk")
    from zoho_books_python_sdk import Contacts, OAuth

    OAuth.url = property(lambda self: f"{url}/oauth/v2/", lambda self, value: None)
    return _sdk(
        Contacts(origin=f"{url}/books/v3"),
        "contact",
        "contact_name",
        "notes",
        lambda q: {"query": q},
    )


def inventory_sdk(url: str, organization: str) -> Seen:
    _secrets(url, organization, "zoho_inventory", "zoho_inventory_python_sdk")
    from zoho_inventory_python_sdk import Items, OAuth

    OAuth.url = property(lambda self: f"{url}/oauth/v2/", lambda self, value: None)
    return _sdk(
        Items(origin=f"{url}/inventory/v1"),
        "item",
        "name",
        "description",
        lambda q: {"req": {"query": q}},
    )


def _secrets(url: str, organization: str, section: str, package: str) -> None:
    """Keep the SDK's secrets in a dict."""
    kept = {section: {**KEYS, "organization_id": organization, "region": "com"}}

    class Manager:
        name = ""

        def get_secret_value(self, **_: Any) -> dict[str, str]:
            return {"SecretString": json.dumps(kept)}

        def put_secret_value(self, **_: Any) -> dict[str, str]:
            return {}

    module("boto3", client=lambda *_, **__: Manager())
    module("botocore")
    module("botocore.exceptions", ClientError=RuntimeError)
    os.environ.update(
        {"AWS_SM_ZOHO_BOOKS_SECRET_NAME": "x", "AWS_SM_ZOHO_INVENTORY_SECRET_NAME": "x"}
    )


def _sdk(
    records: Any, noun: str, name: str, text: str, query: Callable[[dict[str, Any]], dict[str, Any]]
) -> Seen:
    key = f"{noun}s"
    listed = records.list()[key]
    paged, page = [], 1
    while True:
        part = records.list(**query({"page": page}))
        paged += part[key]
        if not part["page_context"]["has_more_page"]:
            break
        page += 1
    one = records.get(id_=listed[0][f"{noun}_id"], path_params={})
    made = records.create(body={name: NAME}, path_params={})[noun]
    number = made[f"{noun}_id"]
    changed = records.update(id_=number, body={text: "Hello"}, path_params={})[noun]
    gone = records.delete(id_=number, path_params={})
    error = records.get(id_=number, path_params={})
    return {
        "listed": len(listed),
        "paged": len(paged),
        "read": one[noun][f"{noun}_id"] == listed[0][f"{noun}_id"],
        "made": made[name],
        "changed": changed[text],
        "deleted": gone["code"],
        "error": error["message"],
    }


# -- cizohosubscriptions: Billing, with null as body of every read ---------------------------------


def cizohosubscriptions(url: str, organization: str) -> Seen:
    import client.client

    client.client.ZOHO_SUBSCRIPTION_API_URL = f"{url}/subscriptions/v1/"
    client.client.ZOHO_SUBSCRIPTION_ACCOUNT_URL = f"{url}/oauth/v2/token"
    from cizohosubscriptions.customer import Customer
    from cizohosubscriptions.plan import Plan
    from cizohosubscriptions.subscription import Subscription

    config = {
        **KEYS,
        "authtoken": "expired",  # the client fetches a token after the first refusal
        "zohoOrgId": organization,
        "cache_enabled": False,
        "redirect_uri": "http://127.0.0.1/back",
    }
    customers, plans = Customer(config), Plan(config)
    listed = customers.client.send_request("GET", "customers")["customers"]
    paged, page = [], 1
    while True:
        part = customers.client.send_request("GET", f"customers?page={page}")
        paged += part["customers"]
        if not part["page_context"]["has_more_page"]:
            break
        page += 1
    one = customers.get_customer_by_id(listed[0]["customer_id"])
    made = customers.create_customer({"display_name": NAME, "email": "new@example.com"})
    found = customers.get_customer_by_Email("new@example.com")
    changed = customers.update_customer(made["customer_id"], {"notes": "Hello"})
    subscriptions = Subscription(config)
    plan = plans.get_plan(plans.list_plans()[0]["plan_code"])
    new = subscriptions.create(
        {"customer_id": made["customer_id"], "plan": {"plan_code": plan["plan_code"]}}
    )["subscription"]
    cancelled = subscriptions.cancel_immediately(new["subscription_id"])
    gone = subscriptions.delete(new["subscription_id"])
    error = customers.client.send_request("GET", f"subscriptions/{new['subscription_id']}")
    return {
        "listed": len(listed),
        "paged": len(paged),
        "read": one["customer_id"] == listed[0]["customer_id"],
        "made": found["display_name"],
        "changed": changed["notes"],
        "deleted": cancelled["code"] + gone["code"],
        "error": error["message"],
    }


CLIENTS: Final[dict[str, Callable[[str, str], Any]]] = {
    each.__name__: each
    for each in (
        zohopy_books,
        zohopy_inventory,
        pyzohoapi_books,
        pyzohoapi_inventory,
        zohobooks_api,
        zoho_books_mcp,
        arcade,
        books_sdk,
        inventory_sdk,
        cizohosubscriptions,
    )
}


def main(name: str, url: str, organization: str) -> None:
    with contextlib.redirect_stdout(sys.stderr):
        seen = CLIENTS[name](url, organization)
        if asyncio.iscoroutine(seen):
            seen = asyncio.run(seen)
    print(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
