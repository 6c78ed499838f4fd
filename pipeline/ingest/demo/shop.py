"""What the shop system exports: accounts, articles, orders, order lines, refunds, plus memberships.
English, times in UTC."""

import numpy as np
import polars as pl

from pipeline.ingest.demo import words
from pipeline.ingest.demo.orders import (
    DAY,
    LOWEST_PRICE,
    PRICE_STEPS,
    STEP,
    VARIANTS,
    Lines,
    Orders,
    shipping,
)
from pipeline.ingest.demo.people import (
    NOBODY,
    People,
    blank,
    gather,
    numbered,
    pick,
    write_email,
    write_phone,
)

SHANGHAI_AHEAD = 8 * 3_600
GUEST_ORDER_SHARE = 0.02
RETURN_SHARE = 0.035
FULL_REFUND_SHARE = 0.2


def stamps(seconds, epoch_day: int, is_null=None, ahead=0) -> pl.Series:
    """Timestamps of seconds since the midnight of epoch_day (days since 1970), with ahead taken off."""
    moments = pl.Series("at", (np.asarray(seconds, np.int64) + (epoch_day * DAY - ahead)) * 1_000_000).cast(
        pl.Datetime("us")
    )
    return moments if is_null is None else blank(moments, is_null)


def cny(cents) -> pl.Series:
    return pl.Series("cny", np.asarray(cents) / 100)


def products() -> pl.DataFrame:
    """One row per article: sku, product_name, category, brand, list_price, unit_cost. Needs no chance."""
    rows = []
    for category, chinese, english, brands in words.CATEGORIES:
        for step in range(PRICE_STEPS):
            for variant in range(VARIANTS):
                price = round(LOWEST_PRICE * float(np.exp(STEP * step)), 1)
                label = chinese if variant != 1 else english
                rows.append(
                    (
                        f"{brands[variant]} {label} {step + 1:02d}{'ABC'[variant]}",
                        category,
                        brands[variant],
                        price,
                    )
                )
    names, categories, brands, prices = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "sku": [f"P{number:05d}" for number in range(len(rows))],
            "product_name": names,
            "category": categories,
            "brand": brands,
            "list_price": prices,
            "unit_cost": [round(price * 0.58, 2) for price in prices],
        }
    )


def order_frame(rng, people: People, orders: Orders, lines: Lines, refunds, epoch_day: int, end: int) -> pl.DataFrame:
    """One row per order as the shop exports it. refunds: the frame's positions and seconds of full refunds;
    end: seconds."""
    count, flags = len(orders), people.flags
    person = np.maximum(orders.person, 0)
    is_known = orders.person != NOBODY
    is_second = is_known & flags["second_account"][person] & (rng.random(count) < 0.4)
    as_guest = is_known & (~flags["has_account"][person] | (~is_second & (rng.random(count) < GUEST_ORDER_SHARE)))
    by_phone = np.where(
        flags["has_account"][person],
        flags["shop_phone"][person] & (rng.random(count) < 0.5),
        ~flags["guest_by_email"][person],
    )
    has_email = is_known & ~(as_guest & by_phone)
    has_phone = is_known & np.where(as_guest, by_phone, flags["shop_phone"][person])

    with_id = is_known & ~as_guest
    shop_id = blank(people.shop_id(person, is_second), ~with_id)
    every_email = pl.concat([people.email, people.second_email])
    email = every_email.gather(person + np.where(is_second, len(people), 0))
    email = blank(write_email(email, rng.integers(0, 12, count)), ~has_email)
    phone = blank(write_phone(people.phone.gather(person), rng.integers(0, 6, count) % 5), ~has_phone)

    gross = np.add.reduceat(lines.unit_price * lines.quantity, orders.first_line)
    discount = gross - np.add.reduceat(lines.amount, orders.first_line)
    paid_at = orders.placed + rng.integers(5, 900, count)
    done_after = (rng.random(count) * 4 + 3) * DAY
    completed_at = orders.placed + done_after.astype(np.int64)
    shipped_at = orders.placed + (done_after / 4).astype(np.int64)
    full_refund_at = np.full(count, -1)
    full_refund_at[refunds[0]] = refunds[1]
    is_refunded = full_refund_at >= 0
    state = np.select(
        [orders.is_attempt, is_refunded, completed_at < end, shipped_at < end],
        [0, 1, 2, 3],
        default=4,
    )
    updated_at = np.select(
        [state == 0, state == 1, state == 2, state == 3],
        [orders.placed + 1_200, full_refund_at, completed_at, shipped_at],
        default=paid_at,
    )
    usual = people.traits["sales_channel"][person]
    channel = np.where(
        is_known & (rng.random(count) < 0.8),
        usual,
        pick(rng, words.SALES_CHANNELS, count, [45, 20, 15, 12, 8]),
    )
    channel = np.where(is_known, channel, len(words.SALES_CHANNELS) - 1)
    method = np.where(rng.random(count) < 0.85, people.traits["payment_method"][person], rng.integers(0, 4, count))
    may_split = (orders.net >= 50_000) & ((method == 2) | (method == 3))
    instalments = np.where(may_split & (rng.random(count) < 0.5), np.array([3, 6, 12])[rng.integers(0, 3, count)], 1)
    return pl.DataFrame(
        {
            "order_no": orders.ids(),
            "customer_id": shop_id,
            "buyer_email": email,
            "buyer_phone": phone,
            "created_at": stamps(orders.placed, epoch_day, ahead=SHANGHAI_AHEAD),
            "paid_at": stamps(np.minimum(paid_at, end - 1), epoch_day, orders.is_attempt, SHANGHAI_AHEAD),
            "cancelled_at": stamps(orders.placed + 1_200, epoch_day, ~orders.is_attempt, SHANGHAI_AHEAD),
            "order_status": gather(["Cancelled", "Refunded", "Completed", "Shipped", "Paid"], state),
            "channel": gather(words.SALES_CHANNELS, channel),
            "currency": pl.repeat("CNY", count, eager=True),
            "items_total": cny(gross),
            "discount_total": cny(discount),
            "shipping_fee": cny(shipping(orders)),
            "order_total": cny(orders.net),
            "payment_method": gather(words.PAYMENT_METHODS, method),
            "instalments": instalments,
            "coupon_code": gather(["SAVE15"], np.where(orders.has_coupon, 0, NOBODY)),
            "updated_at": stamps(np.minimum(updated_at, end - 1), epoch_day, ahead=SHANGHAI_AHEAD),
        }
    )


def item_frame(orders: Orders, lines: Lines, articles: pl.DataFrame) -> pl.DataFrame:
    """One row per order line."""
    return pl.DataFrame(
        {
            "order_no": orders.ids().gather(lines.order),
            "line_no": lines.line,
            "sku": articles["sku"].gather(lines.article),
            "category": articles["category"].gather(lines.article),
            "brand": articles["brand"].gather(lines.article),
            "quantity": lines.quantity,
            "unit_price": cny(lines.unit_price),
            "discount": cny(lines.unit_price * lines.quantity - lines.amount),
            "line_total": cny(lines.amount),
        }
    )


def refund_frame(
    rng, orders: Orders, lines: Lines, epoch_day: int, end: int, has_full_refunds: bool, first_number: int
):
    """One row per refund, return, exchange or repair, and (positions, seconds) of the orders refunded
    whole."""
    is_asked = ~orders.is_attempt & (orders.person != NOBODY) & (rng.random(len(orders)) < RETURN_SHARE)
    order = np.flatnonzero(is_asked)
    asked_at = orders.placed[order] + rng.integers(DAY, 12 * DAY, order.size)
    order, asked_at = order[asked_at < end], asked_at[asked_at < end]
    count = order.size
    is_full = (rng.random(count) < FULL_REFUND_SHARE) & has_full_refunds
    row = orders.first_line[order] + rng.integers(0, orders.line_count[order])
    kind = np.where(is_full, 1, pick(rng, range(4), count, [55, 25, 15, 5]))
    amount = np.where(is_full, orders.net[order], np.where(kind <= 1, lines.amount[row], 0))
    settled_at = asked_at + rng.integers(DAY // 2, 6 * DAY, count)
    frame = pl.DataFrame(
        {
            "return_no": numbered("RT", first_number + np.arange(count)),
            "order_no": numbered("SO", orders.number[order], 9),
            "line_no": blank(pl.Series(lines.line[row]), is_full),
            "type": gather(["Return", "Refund", "Exchange", "Repair"], kind),
            "reason": gather(words.RETURN_REASONS, rng.integers(0, len(words.RETURN_REASONS), count)),
            "refund_amount": cny(amount),
            "requested_at": stamps(asked_at, epoch_day, ahead=SHANGHAI_AHEAD),
            "resolved_at": stamps(settled_at, epoch_day, settled_at >= end, SHANGHAI_AHEAD),
        }
    )
    return frame, (order[is_full], asked_at[is_full])
