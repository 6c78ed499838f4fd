"""What the shop sells to whom: the purchases as orders with lines, before any system writes them down."""

from dataclasses import dataclass

import numpy as np

from pipeline.ingest.demo.people import NOBODY, People, numbered, pick

DAY = 86_400
CANCELLED_ATTEMPT_SHARE = 0.02
ANONYMOUS_SHARE = 0.004

# articles: price steps per category, articles per step; the brand is the place in the step
PRICE_STEPS = 24
LOWEST_PRICE, HIGHEST_PRICE = 4.0, 3_000.0
VARIANTS = 3
STEP = np.log(HIGHEST_PRICE / LOWEST_PRICE) / (PRICE_STEPS - 1)

# chance of each hour of the day
HOURS = [1, 0.5, 0.3, 0.2, 0.2, 0.4, 1, 2, 4, 6, 7, 6, 7, 6, 5, 5, 5, 5, 6, 8, 10, 9, 6, 3]
NIGHT_HOURS = [8, 5, 3, 1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4, 8, 20, 20]


@dataclass(frozen=True)
class Orders:
    """Orders of one block sorted by time. person is a position in the block, NOBODY for anonymous sales.

    placed: seconds since the first day's local midnight; net: CNY cents; is_attempt: given up and
    cancelled; number: over the whole shop, from 0. first_line and line_count place an order's lines.
    """

    person: np.ndarray
    placed: np.ndarray
    net: np.ndarray
    has_coupon: np.ndarray
    has_complaint: np.ndarray
    is_slow: np.ndarray
    drop_out_chance: np.ndarray
    is_attempt: np.ndarray
    number: np.ndarray
    line_count: np.ndarray
    first_line: np.ndarray

    def __len__(self):
        return self.person.size

    @property
    def day(self):
        return self.placed // DAY

    def ids(self):
        return numbered("SO", self.number, 9)


@dataclass(frozen=True)
class Lines:
    """Order lines in the order of Orders; order is the order's position, money in CNY cents."""

    order: np.ndarray
    line: np.ndarray
    article: np.ndarray
    quantity: np.ndarray
    unit_price: np.ndarray
    amount: np.ndarray


def draw_orders(rng, people: People, purchases, history_days: int, first_number: int) -> Orders:
    """The block's purchases as orders, with given-up attempts just before some of them, and sales to nobody
    known."""
    count = purchases["customer"].size
    hour = np.where(
        people.flags["night_owl"][purchases["customer"]],
        pick(rng, HOURS, count, NIGHT_HOURS),
        pick(rng, HOURS, count, HOURS),
    )
    # never in the day's first half hour, so that the attempt before it is the same day
    placed = purchases["day"] * DAY + np.maximum(hour * 3_600 + rng.integers(0, 3_600, count), 1_800)
    net = np.round(purchases["amount"] * 100).astype(np.int64)

    attempts = np.flatnonzero(rng.random(count) < CANCELLED_ATTEMPT_SHARE)
    anonymous = int(round(count * ANONYMOUS_SHARE))
    nothing = np.zeros(attempts.size + anonymous, bool)
    person = np.concatenate([purchases["customer"], purchases["customer"][attempts], np.full(anonymous, NOBODY)])
    placed = np.concatenate(
        [
            placed,
            placed[attempts] - rng.integers(60, 1_500, attempts.size),
            rng.integers(0, history_days, anonymous) * DAY + rng.integers(10 * 3_600, 20 * 3_600, anonymous),
        ]
    )
    net = np.concatenate([net, net[attempts], rng.integers(1_500, 40_000, anonymous)])
    is_attempt = np.zeros(person.size, bool)
    is_attempt[count : count + attempts.size] = True
    order = np.lexsort((person, placed))
    line_count = np.minimum(1 + rng.poisson(2.0, person.size), 12)
    return Orders(
        person=person[order],
        placed=placed[order],
        net=net[order],
        has_coupon=np.concatenate([purchases["has_coupon"], nothing])[order],
        has_complaint=np.concatenate([purchases["has_complaint"], nothing])[order],
        is_slow=np.concatenate([purchases["is_slow"], nothing])[order],
        drop_out_chance=np.concatenate([purchases["drop_out_chance"], np.zeros(nothing.size)])[order],
        is_attempt=is_attempt[order],
        number=first_number + np.arange(person.size),
        line_count=line_count,
        first_line=np.cumsum(line_count) - line_count,
    )


def draw_lines(rng, people: People, tastes, orders: Orders) -> Lines:
    """Lines whose amounts add up to the order's net less shipping; articles by taste and price.

    tastes: float array (n_people, n_categories), rows summing to one.
    """
    order = np.repeat(np.arange(len(orders)), orders.line_count)
    count = order.size
    is_first = np.zeros(count, bool)
    is_first[orders.first_line] = True
    line = np.arange(count) - orders.first_line[order] + 1
    person = orders.person[order]

    edges = np.cumsum(tastes, axis=1, dtype=np.float32)
    chance = rng.random(count, dtype=np.float32) * 0.999_999
    category = (edges[np.maximum(person, 0)] < chance[:, None]).sum(axis=1)
    category = np.where(person == NOBODY, (chance * edges.shape[1]).astype(np.int64), category)
    category = np.minimum(category, edges.shape[1] - 1)

    quantity = np.where(is_first, 1, 1 + (rng.random(count) < 0.2) + (rng.random(count) < 0.05))
    share = rng.random(count) + 0.25
    goods = orders.net - shipping(orders)
    amount = (share / np.add.reduceat(share, orders.first_line)[order] * goods[order]).astype(np.int64)
    amount -= amount % quantity
    # what rounding left over goes to the first line, of which there is one piece
    amount[orders.first_line] += goods - np.add.reduceat(amount, orders.first_line)

    discount_share = np.where(orders.has_coupon, 0.15, 0.0)[order]
    unit_price = np.ceil(amount / quantity / (1 - discount_share) - 1e-9).astype(np.int64)
    step = np.round(np.log(np.maximum(unit_price, 1) / 100 / LOWEST_PRICE) / STEP).astype(np.int64)
    brand = np.where(
        (person != NOBODY) & (rng.random(count) < 0.6),
        people.traits["favourite_brand"][np.maximum(person, 0)],
        rng.integers(0, VARIANTS, count),
    )
    article = (category * PRICE_STEPS + np.clip(step, 0, PRICE_STEPS - 1)) * VARIANTS + brand
    return Lines(order, line, article, quantity, unit_price, amount)


def shipping(orders: Orders):
    """Cents of shipping: 6 CNY on small orders, free for large and tiny ones."""
    return np.where((orders.net >= 2_000) & (orders.net < 6_900), 600, 0)
