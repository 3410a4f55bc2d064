"""The webhooks that `zoho_async.webhooks.install` makes: their names, addresses and rules.

The name of a webhook and its rule is built from the address, the module and the event, so that a
later run finds them. Created and edited records share a rule, because an organization can have only
ten rules per module.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, cast, get_args

import msgspec

from zoho_async import description
from zoho_async.errors import ConfigurationError
from zoho_async.regions import checked_url

InstallProduct: TypeAlias = Literal["books", "inventory"]
EventName: TypeAlias = Literal["created", "edited", "deleted"]
EVENTS: Final[tuple[EventName, ...]] = ("created", "edited", "deleted")

#: The type of a rule by the event in the webhook's address.
_RULE_TYPES: Final = {
    "changed": "add_edit",
    "created": "add",
    "edited": "edit",
    "deleted": "delete",
}
_OURS: Final = re.compile(r"zoho-async [0-9a-f]{8} \S+ (changed|created|edited|deleted)")
#: Modules whose name in rules is not that of their records in the API.
_ENTITIES: Final = {"payment": "customerpayment"}
_CUSTOM_MODULE: Final = re.compile(r"cm_[0-9A-Za-z_]{1,100}")
#: The longest module name that fits into a webhook's name of 50 characters.
_MOST_ENTITY: Final = 22


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook to install: for one module and event, under a name that no other one has.

    ``address`` is what the user named, ``url`` what Zoho calls.
    """

    name: str
    entity: str
    event: str
    rule_type: str
    address: str
    url: str


def hooks(
    url: str,
    modules: Iterable[str],
    events: Iterable[str],
    *,
    product: InstallProduct = "books",
) -> list[Hook]:
    """Return the webhooks for ``modules`` (``invoices``, or a custom one: ``cm_...``) and events.

    Raises `ConfigurationError` for an unknown module or event, and for an address that Zoho should
    not send records to: it must be https (http on loopback only), without user, query or fragment.
    """
    checked_product(product)
    checked_url(url, what="the address of a webhook")
    wanted = set(events)
    for unknown in wanted - set(EVENTS):
        raise ConfigurationError(
            f"unknown event {unknown!r}: use one or more of {', '.join(EVENTS)}"
        )
    if not wanted:
        raise ConfigurationError(f"name at least one event: {', '.join(EVENTS)}")
    names = [str(event) for event in EVENTS if event in wanted]
    if {"created", "edited"} <= wanted:
        names = ["changed", *names[2:]]
    entities = dict.fromkeys(entity_of(module, product) for module in modules)
    return [_hook(url.strip(), entity, event) for entity in entities for event in names]


def checked_product(product: str) -> InstallProduct:
    """Return ``product``. Raises `ConfigurationError` if its API cannot set webhooks."""
    if product in get_args(InstallProduct):
        return cast(InstallProduct, product)
    raise ConfigurationError(
        f"webhooks of {product} cannot be set through the API: make them in Zoho's web "
        "application, with a secret, and set ZOHO_WEBHOOK_SECRET for the receiver"
    )


def entity_of(module: str, product: InstallProduct) -> str:
    """Return the name of ``module`` in rules: ``salesorder`` for ``sales_orders``.

    Raises `ConfigurationError` for an unknown module, with similar names.
    """
    if _CUSTOM_MODULE.fullmatch(module):
        return module
    known: dict[str, str] = {}
    for facts in description.reads(product):
        if facts.name.endswith(".get") and facts.key and facts.path.count("{") == 1:
            key = facts.key.replace("_", "")
            entity = _ENTITIES.get(key, key)
            known |= {facts.resource.partition(".")[2]: entity}
    plain = module.removeprefix(f"{product}.")
    if plain in known:
        return known[plain]
    if plain in known.values():
        return plain
    near = difflib.get_close_matches(plain, known)
    raise ConfigurationError(
        f"{product} has no module {module!r}; "
        + (f"did you mean {', '.join(near)}?" if near else f"use one of {', '.join(known)}")
    )


def _hook(address: str, entity: str, event: str) -> Hook:
    short = entity if len(entity) <= _MOST_ENTITY else f"{entity[:13]}-{_hash(entity)}"
    return Hook(
        name=f"{name_start(address)}{short} {event}",
        entity=entity,
        event=event,
        rule_type=_RULE_TYPES[event],
        address=address,
        url=f"{address}?event_type={event}",
    )


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def secret_tag(secret: str) -> str:
    """Return eight hexadecimal digits by which a secret is recognized, but not found."""
    return hashlib.sha256(b"zoho-async webhook " + secret.encode()).hexdigest()[:8]


def is_ours(name: str) -> bool:
    """Whether a webhook or a rule has a name that `hooks` makes."""
    return _OURS.fullmatch(name) is not None


def name_start(address: str) -> str:
    """The start of the names of all webhooks with this address."""
    return f"zoho-async {_hash(address)} "
