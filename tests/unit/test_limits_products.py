"""The daily quota of products that share a counter, and of products that have their own.

The judge is a model of Zoho: a number per counter. Replies come in any order, and other clients
call in between.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter

import pytest

from tests.support.held_usage import HeldUsage
from zoho_async.limits import Limits, Quota, Refusal, Snapshot
from zoho_async.limits.daily_quota import DailyQuota
from zoho_async.limits.product_days import CERTAIN, TOGETHER, Figure, ProductDays
from zoho_async.limits.redis.epoch import restore
from zoho_async.limits.redis.offline import OfflineShare
from zoho_async.limits.usage import Denial, Ending, Usage, settle, take, to_snapshot

DAY = 86_400.0
#: Every call is admitted by the minute's limits, so only the day stops calls.
WIDE = Limits(limit=10_000, burst=10_000, in_flight=8, reserve=0)


class Zoho:
    """Counts calls. ``counters``: the counter of each product. ``limits``: of each counter."""

    def __init__(self, counters: dict[str, str], limits: dict[str, int]) -> None:
        self.counters, self.limits = counters, limits
        self.counts = Counter[str]()
        self.refused = Counter[str]()

    def count(self, product: str, *, known: bool = True) -> Ending:
        """Count a call that arrives now. Returns how it ends."""
        counter = self.counters[product]
        accepted = self.counts[counter] < self.limits[counter]
        if accepted:
            self.counts[counter] += 1
        elif known:
            self.refused[product] += 1
        limit = self.limits[counter]
        quota = Quota(limit, limit - self.counts[counter], 20 * 3600.0)
        return Ending("replied", 0.0, quota, None if accepted else Refusal(45))

    def left(self, product: str) -> int:
        return self.limits[self.counters[product]] - self.counts[self.counters[product]]


class Client(HeldUsage):
    """Sends calls to a `Zoho`. They arrive and are answered later, in any order."""

    def __init__(self, zoho: Zoho, seed: int = 1, limits: Limits = WIDE) -> None:
        super().__init__(limits)
        self.zoho, self.dice = zoho, random.Random(seed)
        self._serial = 0
        self._events: list[tuple[float, int, int, float, str, Ending | None]] = []

    def send(self, product: str, took: float | None = None) -> Denial | None:
        """Send a call. Without ``took`` it takes up to a second to arrive, and to be answered."""
        answer = take(
            self.usage, self.account, "bulk", self.limits, self.now, self.time(), "", product
        )
        if isinstance(answer, Denial):
            return answer
        arrives = self.now + (self.dice.uniform(0.0, 1.0) if took is None else took / 2)
        self._push(arrives, answer, self.now, product, None)
        return None

    def _push(
        self, at: float, place: int, sent: float, product: str, ending: Ending | None
    ) -> None:
        self._serial += 1
        heapq.heappush(self._events, (at, self._serial, place, sent, product, ending))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        ends = self.now + seconds
        while self._events and self._events[0][0] <= ends:
            self.now, _, place, sent, product, ending = heapq.heappop(self._events)
            if ending is None:
                replied = self.now + self.dice.uniform(0.0, 1.0) * (self.now - sent + 0.001)
                self._push(replied, place, sent, product, self.zoho.count(product))
                continue
            ended = Ending("replied", self.now - sent, ending.quota, ending.refusal)
            settle(self.usage, self.account, place, ended, self.limits, self.now, self.time())
        self.now = ends

    def call(self, product: str) -> Denial | None:
        """Make one call, and wait for its reply."""
        denial = self.send(product, took=0.1)
        self.run(1.0)
        return denial

    @property
    def separate(self) -> bool:
        return bool(self.snapshot.products)

    @property
    def snapshot(self) -> Snapshot:
        return to_snapshot(self.usage, self.account, self.limits, self.now, self.time())


def own_counters(**limits: int) -> Zoho:
    return Zoho({product: product for product in limits}, limits)


def one_counter(limit: int, *products: str) -> Zoho:
    return Zoho(dict.fromkeys(products, "all"), {"all": limit})


@pytest.mark.parametrize("inventory", [40, 1000, 57_500])
def test_products_with_their_own_counters_are_separate_after_few_replies(inventory: int) -> None:
    zoho = own_counters(books=1000, inventory=inventory)
    zoho.counts.update(books=900, inventory=3)
    client = Client(zoho)
    for _ in range(CERTAIN + 1):
        assert client.call("books") is client.call("inventory") is None
    assert client.separate
    shown = client.snapshot
    assert shown.for_products("books").day_remaining == zoho.left("books")
    assert shown.for_products("inventory").day_remaining == zoho.left("inventory")
    assert shown.for_products("inventory").day_limit == inventory
    assert shown.day_remaining == min(zoho.left("books"), zoho.left("inventory"))


@pytest.mark.parametrize("seed", range(20))
def test_no_product_is_held_up_by_the_quota_of_another(seed: int) -> None:
    """Each product uses up its own quota, with no refusal, while others call too."""
    dice = random.Random(seed)
    zoho = own_counters(books=dice.randint(60, 400), inventory=dice.randint(60, 400), invoice=50)
    zoho.counts["books"] = dice.randint(0, 30)
    client = Client(zoho, seed)
    for _ in range(3 * CERTAIN):  # known before the first is used up
        for product in zoho.limits:
            client.call(product)
    for product in ("books", "inventory", "invoice"):
        assert product in client.snapshot.products
    denied = Counter[str]()
    while min(denied[each] for each in zoho.limits) < 30:
        product = dice.choice(sorted(zoho.limits))
        denial = client.send(product)
        if denial is not None:
            denied[product] += denial.reason == "day"
            assert denial.reason in ("day", "in_flight")
            client.run(1.0)
        other = dice.choice(sorted(zoho.limits))
        if dice.random() < 0.1 and zoho.left(other) > 30:  # the last calls are ours
            zoho.count(other, known=False)
        client.run(dice.uniform(0.0, 0.3))
    client.run(3.0)
    assert all(zoho.left(product) <= WIDE.in_flight for product in zoho.limits)
    assert not zoho.refused


@pytest.mark.parametrize("seed", range(30))
def test_products_that_share_a_counter_are_never_separated(seed: int) -> None:
    """Replies overlap and come in any order, others call, and the limit is raised once."""
    dice = random.Random(seed)
    zoho = one_counter(3000, "books", "inventory", "invoice")
    client = Client(zoho, seed)
    client.limits = Limits(limit=10_000, burst=10_000, in_flight=dice.choice([1, 2, 8]), reserve=0)
    raised = False
    denials = 0
    while denials < 20:
        denial = client.send(dice.choice(["books", "inventory", "invoice"]))
        if denial is not None and denial.reason == "day":
            denials += 1
        if dice.random() < 0.05 and zoho.left("books") > 50:  # the last calls are ours
            for _ in range(dice.randint(1, 5)):
                zoho.count("books", known=False)
        if not raised and zoho.counts["all"] > 1500:
            raised, zoho.limits["all"] = True, 3500
        client.run(dice.choice([0.0, 0.0, dice.uniform(0.0, 2.0)]))
    client.run(3.0)
    assert not client.separate
    assert client.usage.products is not None
    assert all(pair.against <= 1 for pair in client.usage.products.pairs)
    assert zoho.left("books") <= WIDE.in_flight + 500  # what a raise adds is used the next day
    assert not zoho.refused


def test_products_that_were_separated_wrongly_share_a_counter_again() -> None:
    """Zoho changes the limit again and again, each time between a reply of either product."""
    zoho = one_counter(500, "books", "inventory")
    client = Client(zoho)
    for _ in range(CERTAIN):
        client.call("books")
        zoho.limits["all"] += 100
        client.call("inventory")
    assert client.separate
    for _ in range(TOGETHER):
        client.call("books")
        client.call("inventory")
    assert client.usage.products is not None
    assert not client.usage.products.pairs[0].separate
    while (denial := client.call("books")) is None:
        client.call("inventory")
    assert denial.reason == "day"
    assert zoho.left("books") <= 100  # the last raise
    assert not zoho.refused


@pytest.mark.parametrize(("rise", "one"), [(5, False), (10, True)])
def test_counters_that_rise_together_are_one_if_they_rise_by_the_calls_of_both(
    rise: int, one: bool
) -> None:
    """Two workers call both products alike: ten calls between two figures that are compared."""
    days, count = ProductDays(), 0
    for number in range(4):
        figure = Figure(("books", "inventory")[number % 2], 1000 + number, 1000, number, DAY, 0)
        days.hear(figure, number)
    assert days.pairs[0].separate
    for number in range(10, 10 + 2 * TOGETHER):
        count += rise
        for each in range(10):
            product = ("books", "inventory")[(number + each) % 2]
            sent = number if each == 0 else 0.0  # the others were sent before the last figure came
            days.hear(Figure(product, 1000, 1000 - count, number + 0.5, DAY, 0), sent)
    assert days.pairs[0].separate is not one


def test_calls_in_flight_count_when_a_product_gets_its_own_quota() -> None:
    zoho = own_counters(books=100, inventory=1000)
    zoho.counts["books"] = 93
    client = Client(zoho)
    client.call("books")
    client.call("inventory")
    client.call("books")
    assert zoho.left("books") == 5
    assert client.send("inventory", took=0.1) is None
    sent = sum(client.send("books", took=20.0) is None for _ in range(4))
    client.run(1.0)  # the reply of Inventory separates them
    assert client.separate
    while client.send("books", took=20.0) is None:
        sent += 1
    client.run(60.0)
    assert sent == 5
    assert not zoho.refused


@pytest.mark.parametrize("seed", range(25))
def test_products_that_separate_while_calls_are_in_flight_exceed_no_quota(seed: int) -> None:
    """The quota of Books is nearly used up when the counters are heard."""
    dice = random.Random(seed)
    zoho = own_counters(books=1000, inventory=200)
    client = Client(zoho, seed)
    zoho.counts["books"] = 1000 - dice.randint(15, 60)
    for _ in range(400):
        client.send(dice.choice(["books", "books", "inventory"]))
        client.run(dice.uniform(0.0, 0.3))
    client.run(5.0)
    assert not zoho.refused
    if client.separate:  # else all products waited for the next day before they were heard
        assert zoho.left("books") <= 2 * WIDE.in_flight
        assert zoho.left("inventory") <= 100


@pytest.mark.parametrize("heard", [True, False])
def test_offline_calls_count_for_each_product_that_they_may_be_of(heard: bool) -> None:
    """A worker that heard the counters before Redis failed knows which product it called."""
    client, offline = Client(own_counters(books=100, inventory=200)), OfflineShare(0.5)
    for _ in range(CERTAIN + 1):
        client.call("books")
        client.call("inventory")
    products = client.usage.products
    assert products is not None
    before = {name: day.left for name, day in products.days.items()}
    memories = (client.usage, client.account) if heard else (None, None)
    for _ in range(5):
        answer = offline.take("key", "account", "bulk", WIDE, client, memories, "books")
        assert isinstance(answer, int)
        offline.settle("key", "account", answer, Ending("replied"), WIDE, client)
    offline.enter("key", "account", client.usage, client, client.now, 2.0)
    called = {name: (before[name] or 0) - (day.left or 0) for name, day in products.days.items()}
    assert called == {"books": 5, "inventory": 0 if heard else 5}


def test_an_offline_worker_takes_its_share_of_a_day_that_has_no_figure_yet() -> None:
    client, offline = Client(own_counters(books=100)), OfflineShare(0.5)
    memory = Usage(day=DailyQuota(limit=10, used=4, reset_at=client.time() + DAY))
    for _ in range(3):
        answer = offline.take("key", "account", "bulk", WIDE, client, (memory, None), "books")
        assert isinstance(answer, int)
    answer = offline.take("key", "account", "bulk", WIDE, client, (memory, None), "books")
    assert isinstance(answer, Denial)
    assert answer.reason == "day"


@pytest.mark.parametrize("predicted", [True, False])
def test_an_offline_worker_knows_whether_the_end_of_a_spent_day_is_a_guess(predicted: bool) -> None:
    client, offline = Client(own_counters(books=100)), OfflineShare(0.5)
    ends = client.time() + 3600.0
    spent = DailyQuota(
        limit=10, left=0, spent=True, reset_at=ends, predicted=predicted, probe_at=ends
    )
    memory = (Usage(day=spent), None)
    answer = offline.take("key", "account", "bulk", WIDE, client, memory, "books")
    assert isinstance(answer, Denial)
    assert (answer.reason, answer.reset_at) == ("day", None if predicted else ends)


def test_a_memory_of_the_day_before_takes_nothing_from_the_day_of_a_product() -> None:
    today = DailyQuota(limit=100, left=90, reset_at=2 * DAY)
    usage = Usage(products=ProductDays(days={"books": today}))
    before = DailyQuota(limit=100, left=3, reset_at=DAY, spent=True)
    memory = Usage(products=ProductDays(days={"books": before}))
    restore(usage, {}, memory, 0.0, DAY + 60.0)
    assert (today.left, today.spent) == (90, False)


def test_a_spent_day_of_a_product_is_restored_from_any_memory() -> None:
    usage = Usage()
    for spent in (False, True):
        day = DailyQuota(limit=100, left=90, reset_at=DAY, spent=spent)
        restore(usage, {}, Usage(products=ProductDays(days={"books": day})), 0.0, 1000.0)
    assert usage.products is not None
    assert usage.products.days["books"].remaining(WIDE) == 0


def test_a_refusal_ends_the_quota_of_its_product_alone() -> None:
    """A call counts in each quota that it may be of; a refusal says whose quota is spent."""
    books, inventory = DailyQuota(used=1), DailyQuota(used=2)
    days = ProductDays(days={"books": books, "inventory": inventory})
    assert [each.used for each in days.of("books")] == [1, 2]
    assert [each.used for each in days.own("books")] == [1]
    assert [each.used for each in days.own("invoice")] == [1, 2]


def test_a_new_quota_of_a_product_ends_when_its_own_figure_says() -> None:
    days, total = ProductDays(), DailyQuota(used=50, reset_at=1000.0, predicted=True)
    days.start(Figure("books", 100, 60, 0.0, 2000.0, 0), total, 3, 0.0)
    days.start(Figure("inventory", 100, 60, 0.0, None, 0), total, 0, 0.0)
    books, inventory = days.days["books"], days.days["inventory"]
    assert (books.reset_at, books.predicted, books.used, books.left) == (2000.0, False, 40, 57)
    assert (inventory.reset_at, inventory.predicted, inventory.left) == (1000.0, True, 60)
