"""What `install` and `remove` decide, and where the secrets of webhooks are kept."""

from __future__ import annotations

import stat
from pathlib import Path

import keyring
import msgspec
import pytest

from tests.support.keyring_in_memory import Ring
from zoho_async.errors import ConfigurationError
from zoho_async.webhooks import saved_secret
from zoho_async.webhooks.hooks import Hook, entity_of, hooks, secret_tag
from zoho_async.webhooks.install import overlapping, plan, removable, requests
from zoho_async.webhooks.installed import Installed, InstalledRule, InstalledWebhook, rules_of
from zoho_async.webhooks.secret_store import (
    SecretKey,
    SecretStore,
    new_secret,
    secret_store,
    secret_to_install,
)

URL = "https://example.com/hooks"
KEY = SecretKey(product="books", organization="77", url=URL)


def hook(events: str = "created,edited", url: str = URL, module: str = "invoices") -> Hook:
    (made,) = hooks(url, [module], events.split(","))
    return made


def rule(of: Hook, *webhook_ids: str, rule_id: str = "2", **values: object) -> InstalledRule:
    made = InstalledRule(
        rule_id=rule_id,
        name=of.name,
        entity=of.entity,
        rule_type=of.rule_type,
        webhook_ids=webhook_ids,
    )
    return msgspec.structs.replace(made, **values)


def webhook(
    of: Hook, *rules: InstalledRule, webhook_id: str = "1", **values: object
) -> InstalledWebhook:
    made = InstalledWebhook(
        webhook_id=webhook_id, name=of.name, entity=of.entity, url=of.url, rules=rules
    )
    return msgspec.structs.replace(made, **values)


def test_events_of_a_module_share_as_few_rules_as_they_can() -> None:
    made = hooks(URL, ["invoices", "books.sales_orders", "cm_visits", "invoice"], ["deleted"])
    assert [one.entity for one in made] == ["invoice", "salesorder", "cm_visits"]
    both = hooks(URL, ["invoices"], ["deleted", "edited", "created", "edited"])
    assert [(one.rule_type, one.url) for one in both] == [
        ("add_edit", f"{URL}?event_type=changed"),
        ("delete", f"{URL}?event_type=deleted"),
    ]
    assert [hook("created").rule_type, hook("edited").rule_type] == ["add", "edit"]
    assert entity_of("customer_payments", "books") == "customerpayment"


def test_names_are_short_and_their_own() -> None:
    modules = ["invoices", "recurring_invoices", "cm_" + "a" * 40, "cm_" + "a" * 39 + "b"]
    made = [
        *hooks(URL, modules, ["created", "edited", "deleted"]),
        *hooks(URL + "/", modules, ["created"]),
        *hooks(URL, modules, ["created"]),
    ]
    assert len({one.name for one in made}) == len(made) == 16
    assert max(len(one.name) for one in made) <= 50
    for one in made:
        found = Installed(webhooks=(webhook(one),))
        assert found.at(one.address) == found.webhooks


@pytest.mark.parametrize(
    ("url", "module", "event", "message"),
    [
        ("http://example.com/hooks", "invoices", "created", "must be https"),
        ("https://example.com/hooks?a=b", "invoices", "created", "must look like"),
        ("https://user:word@example.com/hooks", "invoices", "created", "user name"),
        (URL, "invoice_s", "created", "did you mean"),
        (URL, "cm_../x", "created", "no module"),
        (URL, "invoices", "paid", "unknown event 'paid'"),
        (URL, "invoices", "", "unknown event"),
    ],
)
def test_what_cannot_be_installed_is_refused(
    url: str, module: str, event: str, message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        hooks(url, [module], [event])


def test_only_what_is_missing_is_created() -> None:
    one = hook()
    for found, webhook_id, needs in (
        (Installed(webhooks=()), "", "create"),
        (Installed(webhooks=(webhook(one),)), "1", "create"),
        (Installed(webhooks=(webhook(one, rule(one, "1")),)), "1", ""),
        (Installed(webhooks=(webhook(one, rule(one, "1", other_actions=3)),)), "1", ""),
        (Installed(webhooks=(webhook(one, rule(one, "1", is_active=False)),)), "1", "activate"),
        (Installed(webhooks=(), loose_rules=(rule(one, "9"),)), "", "connect"),
        (Installed(webhooks=(webhook(one),), loose_rules=(rule(one, "9"),)), "1", "connect"),
        # Zoho shows no actions: that the rule sends nothing else is not known.
        (
            Installed(webhooks=(webhook(one),), loose_rules=(rule(one, other_actions=None),)),
            "1",
            "",
        ),
        # Of others: another address, and a webhook that a person made for the same address.
        (Installed(webhooks=(webhook(hook(url=URL + "2")),)), "", "create"),
        (Installed(webhooks=(webhook(one, name="Mine"),)), "", "create"),
    ):
        (step,) = plan([one], found)
        assert (step.webhook_id, step.rule) == (webhook_id, needs), found
        assert step.is_done == (requests([step]) == [])


def test_two_of_a_name_or_a_changed_address_are_left_to_a_person() -> None:
    one = hook()
    twice = Installed(webhooks=(webhook(one), webhook(one, webhook_id="3")))
    with pytest.raises(ConfigurationError, match="2 webhooks named"):
        plan([one], twice)
    rules = (rule(one, "1"), rule(one, "1", rule_id="4"))
    with pytest.raises(ConfigurationError, match="2 rules named"):
        plan([one], Installed(webhooks=(webhook(one, *rules),)))
    with pytest.raises(ConfigurationError, match="no longer sends"):
        plan([one], Installed(webhooks=(), loose_rules=(rule(one, "9", other_actions=1),)))
    with pytest.raises(ConfigurationError, match="was changed in Zoho"):
        plan([one], Installed(webhooks=(webhook(one, url="https://example.org/"),)))


def test_webhooks_that_send_the_same_changes_again_are_named() -> None:
    created = webhook(hook("created"))
    found = Installed(webhooks=(created, webhook(hook("deleted"), webhook_id="3")))
    assert overlapping([hook()], found) == [created]
    assert overlapping([hook("created"), hook("deleted")], found) == []


def test_planned_requests_hold_no_secret() -> None:
    (step,) = plan([hook()], Installed(webhooks=()))
    first, second = requests([step])
    assert first.body["secret"] == "***"
    assert "body_type" not in first.body
    assert second.body["instant_actions"] == [{"action_id": "***", "action_type": "webhook"}]


def test_only_our_webhooks_are_removed_unless_they_are_named() -> None:
    ours, other = hook(), hook(url=URL + "2")
    mine = webhook(ours, webhook_id="5", name="Mine", url="https://example.com/?key=word")
    found = Installed(
        webhooks=(
            webhook(ours, rule(ours, "1")),
            webhook(other, rule(other, "3", rule_id="4"), webhook_id="3"),
            mine,
        ),
        loose_rules=(rule(hook("deleted"), rule_id="6"),),
    )
    chosen = removable(found, address=URL)
    assert [one.webhook_id for one in chosen.webhooks] == ["1"]
    assert [one.rule_id for one in rules_of(chosen)] == ["2", "6"]
    assert removable(found, address=URL, entities=["contact"]) == Installed(webhooks=())
    assert removable(found, ids=["5"]).webhooks == (mine,)
    with pytest.raises(ConfigurationError, match="no webhook 8"):
        removable(found, ids=["8"])


def test_a_rule_that_does_more_is_not_deleted() -> None:
    one, two = hook(), hook("deleted")
    alert = Installed(webhooks=(webhook(one, rule(one, "1", other_actions=1)),))
    with pytest.raises(ConfigurationError, match="other actions"):
        removable(alert, address=URL)
    shared = rule(one, "1", "3")
    both = Installed(webhooks=(webhook(one, shared), webhook(two, shared, webhook_id="3")))
    with pytest.raises(ConfigurationError, match="other actions"):
        removable(both, ids=["1"])
    assert rules_of(removable(both, address=URL)) == [shared]
    theirs = rule(one, "1", name="Mine")
    found = Installed(webhooks=(webhook(one, theirs),))
    with pytest.raises(ConfigurationError, match="not installed by this command"):
        removable(found, address=URL)
    assert rules_of(removable(found, ids=["1"])) == [theirs]
    unknown = Installed(
        webhooks=(webhook(one, msgspec.structs.replace(theirs, other_actions=None)),)
    )
    with pytest.raises(ConfigurationError, match="other actions"):
        removable(unknown, ids=["1"])


# -- secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("use_keyring", [False, True])
def test_a_secret_is_kept_like_those_of_accounts(
    use_keyring: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = Ring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: ring)
    store = SecretStore(tmp_path / "webhooks.json", keyring=use_keyring)
    secret = new_secret()
    assert secret.isalnum()
    assert (len(secret), secret == new_secret()) == (40, False)
    assert store.get(KEY) is None
    store.put(KEY, secret)
    assert store.get(KEY) == secret
    assert store.urls("books", "77") == [URL]
    assert store.urls("books", "7") == []
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert (secret in store.path.read_text()) != use_keyring
    store.remove(KEY)
    store.remove(KEY)
    assert (store.get(KEY), ring.kept) == (None, {})


def test_a_receiver_finds_its_secret(tmp_path: Path) -> None:
    environ = {"ZOHO_ASYNC_PROFILES": str(tmp_path / "p.json"), "ZOHO_ORGANIZATION_ID": "77"}
    with pytest.raises(ConfigurationError, match="webhooks install"):
        saved_secret(environ=environ)
    store = secret_store(None, environ)
    store.put(KEY, "a" * 40)
    assert saved_secret(environ=environ) == saved_secret(URL, environ=environ) == "a" * 40
    store.put(msgspec.structs.replace(KEY, url=URL + "2"), "b" * 40)
    assert saved_secret(URL + "2", environ=environ) == "b" * 40
    with pytest.raises(ConfigurationError, match="name one"):
        saved_secret(environ=environ)
    with pytest.raises(ConfigurationError, match="webhooks install"):
        saved_secret(URL, organization="78", environ=environ)
    assert saved_secret(environ=environ | {"ZOHO_WEBHOOK_SECRET": "c" * 12}) == "c" * 12
    with pytest.raises(ConfigurationError, match="12 to 50"):
        saved_secret(environ=environ | {"ZOHO_WEBHOOK_SECRET": "short"})


def test_new_webhooks_get_the_secret_of_their_address_and_no_other(tmp_path: Path) -> None:
    store = SecretStore(tmp_path / "webhooks.json", keyring=False)
    nothing = Installed(webhooks=())
    secret = secret_to_install(store, KEY, nothing, {})
    assert secret_to_install(store, KEY, nothing, {}) == store.get(KEY) == secret
    same = Installed(webhooks=(webhook(hook(), tag=secret_tag(secret)),))
    assert secret_to_install(store, KEY, same, {}) == secret
    of_another = Installed(webhooks=(webhook(hook(), tag=secret_tag("x" * 40)),))
    for environ in ({}, {"ZOHO_WEBHOOK_SECRET": "d" * 20}):
        with pytest.raises(ConfigurationError, match="have another secret") as refused:
            secret_to_install(store, KEY, of_another, environ)
        assert secret not in str(refused.value)
        assert "d" * 20 not in str(refused.value)
    store.remove(KEY)
    with pytest.raises(ConfigurationError, match="not saved here"):
        secret_to_install(store, KEY, same, {})
    assert secret_to_install(store, KEY, same, {"ZOHO_WEBHOOK_SECRET": secret}) == secret
    assert store.get(KEY) is None
