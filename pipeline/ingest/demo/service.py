"""What help desk, survey tool, mailing tool and sales staff export: tickets, feedback, campaigns,
interactions."""

from datetime import date, timedelta

import numpy as np
import polars as pl

from pipeline.ingest.demo import words
from pipeline.ingest.demo.orders import DAY, Orders
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
from pipeline.ingest.demo.shop import SHANGHAI_AHEAD, stamps

TICKET_KINDS = ["complaint", "question", "repair", "request"]
CAMPAIGN_REACH = 0.12
OPEN_CHANCE, OPEN_CHANCE_AFTER_DROP_OUT = 0.30, 0.06
# share of the addresses that are dead, and chance of a mail to be the last one wanted, or one too many
DEAD_ADDRESSES, UNSUBSCRIBE_CHANCE, SPAM_CHANCE, NEVER_CALL_CHANCE = 0.015, 0.006, 0.0006, 0.04


def contact_columns(rng, people: People, position) -> tuple[pl.Series, pl.Series]:
    """E-mail and phone a person gives outside the shop: the e-mail if any system knows it, else the phone."""
    email = blank(
        write_email(people.email.gather(position), rng.integers(0, 15, position.size)),
        ~people.known_email()[position],
    )
    gives_phone = people.known_phone()[position] & (email.is_null().to_numpy() | (rng.random(position.size) < 0.3))
    return email, blank(write_phone(people.phone.gather(position), rng.integers(0, 5, position.size)), ~gives_phone)


def pick_texts(rng, pools, group) -> pl.Series:
    """A random text from pools[group], per row."""
    sizes = np.array([len(pool) for pool in pools])
    starts = np.cumsum(sizes) - sizes
    return gather(
        [text for pool in pools for text in pool],
        starts[group] + (rng.random(group.size) * sizes[group]).astype(int),
    )


def draw_tickets(rng, people: People, orders: Orders, epoch_day: int, end: int, first_number: int):
    """One row per ticket, and the same tickets as arrays (position, order, asked_at, score) for the
    surveys."""
    complaining = np.flatnonzero(orders.has_complaint)
    asking = np.flatnonzero((orders.person != NOBODY) & ~orders.has_complaint & (rng.random(len(orders)) < 0.05))
    others = np.flatnonzero(rng.random(len(people)) < 0.10)
    position = np.concatenate([orders.person[complaining], orders.person[asking], others])
    order = np.concatenate([complaining, asking, np.full(others.size, NOBODY)])
    kind = np.concatenate(
        [
            np.zeros(complaining.size, int),
            pick(rng, range(3), asking.size, [70, 15, 15]) + 1,
            np.ones(others.size, int),
        ]
    )
    is_slow = np.concatenate([orders.is_slow[complaining], rng.random(asking.size + others.size) < 0.1])
    opened = np.concatenate(
        [
            orders.placed[complaining] + rng.integers(DAY // 4, 5 * DAY, complaining.size),
            orders.placed[asking] + rng.integers(DAY // 8, 20 * DAY, asking.size),
            rng.integers(0, end, others.size),
        ]
    )
    by_time = np.argsort(opened, kind="stable")
    by_time = by_time[opened[by_time] < end]
    position, order, kind, is_slow, opened = (array[by_time] for array in (position, order, kind, is_slow, opened))
    count = position.size
    reply = opened + (np.where(is_slow, 40, 3) * 3_600 * rng.lognormal(0, 0.5, count)).astype(np.int64)
    solved = reply + (rng.lognormal(0, 0.8, count) * 1.2 * DAY).astype(np.int64)
    is_complaint = kind == 0
    unhappy = 0.15 + 0.45 * is_complaint + 0.25 * is_slow
    score = np.where(rng.random(count) < unhappy, rng.integers(1, 3, count), rng.integers(3, 6, count))
    is_rated = (rng.random(count) < 0.4) & (solved < end)
    email, phone = contact_columns(rng, people, position)
    state = np.select([solved < end - 7 * DAY, solved < end, reply < end], [0, 1, 2], default=3)
    last_change = np.select([solved < end, reply < end], [solved, reply], default=opened)
    subjects = [words.TICKET_WORDS[name][0] for name in TICKET_KINDS]
    bodies = [words.TICKET_WORDS[name][1] for name in TICKET_KINDS]
    frame = pl.DataFrame(
        {
            "ticket_id": numbered("T", first_number + np.arange(count)),
            "requester_id": people.requester_id(position),
            "requester_email": email,
            "requester_phone": phone,
            "via": gather(
                ["email", "web_form", "phone", "chat", "wechat"],
                pick(rng, range(5), count, [25, 20, 15, 25, 15]),
            ),
            "type": gather(TICKET_KINDS, kind),
            "priority": gather(
                ["low", "normal", "high", "urgent"], np.minimum(rng.integers(0, 3, count) + is_complaint, 3)
            ),
            "status": gather(["closed", "solved", "pending", "open"], state),
            "subject": pick_texts(rng, subjects, kind),
            "description": pick_texts(rng, bodies, kind),
            "created_at": stamps(opened, epoch_day, ahead=SHANGHAI_AHEAD),
            "first_response_at": stamps(reply, epoch_day, reply >= end, SHANGHAI_AHEAD),
            "solved_at": stamps(solved, epoch_day, solved >= end, SHANGHAI_AHEAD),
            "reopens": (rng.random(count) < 0.08).astype(int),
            "satisfaction": gather(["1", "2", "3", "4", "5"], np.where(is_rated, score - 1, NOBODY)),
            "updated_at": stamps(last_change, epoch_day, ahead=SHANGHAI_AHEAD),
        }
    )
    return frame, {"position": position, "order": order, "asked_at": solved, "score": score}


def feedback_frame(
    rng,
    people: People,
    orders: Orders,
    articles_of_order,
    tickets,
    epoch_day: int,
    end: int,
    first_number: int,
):
    """One row per review (1-5), promoter question (0-10) or answer after a ticket (1-5); scores fall after
    complaints.

    articles_of_order: sku per order, of its first line.
    """
    is_known = (orders.person != NOBODY) & ~orders.is_attempt
    reviews = np.flatnonzero(is_known & (rng.random(len(orders)) < 0.05))
    asked = np.flatnonzero(is_known & (rng.random(len(orders)) < 0.03))
    rated = np.flatnonzero(rng.random(tickets["position"].size) < 0.2)
    order = np.concatenate([reviews, asked, tickets["order"][rated]])
    position = np.concatenate([orders.person[reviews], orders.person[asked], tickets["position"][rated]])
    kind = np.repeat([0, 1, 2], [reviews.size, asked.size, rated.size])
    on_order = order != NOBODY
    is_bad = on_order & orders.has_complaint[order]
    mood = rng.normal(0.78, 0.18, order.size) - np.where(is_bad, 0.4, 0)
    score = np.where(kind == 1, np.round(np.clip(mood, 0, 1) * 10), 1 + np.round(np.clip(mood, 0, 1) * 4)).astype(int)
    score[kind == 2] = tickets["score"][rated]
    at = np.concatenate([orders.placed[reviews], orders.placed[asked], tickets["asked_at"][rated]])
    at = at + rng.integers(6 * DAY, 25 * DAY, order.size)
    keep = np.argsort(at, kind="stable")
    keep = keep[at[keep] < end]
    order, position, kind, score, at, on_order = (array[keep] for array in (order, position, kind, score, at, on_order))
    count = order.size
    share = np.where(kind == 1, score / 10, (score - 1) / 4)
    text = pick_texts(rng, [words.BLAME, words.MIDDLING, words.PRAISE], np.digitize(share, [0.4, 0.7]))
    email, phone = contact_columns(rng, people, position)
    is_review = kind == 0
    return pl.DataFrame(
        {
            "feedback_id": numbered("FB", first_number + np.arange(count)),
            "respondent_email": email,
            "respondent_phone": phone,
            "survey_type": gather(["评价", "NPS", "满意度"], kind),
            "score": score,
            "max_score": np.where(kind == 1, 10, 5),
            "comment": blank(text, ~is_review & (rng.random(count) < 0.5)),
            "order_no": blank(numbered("SO", orders.number[np.maximum(order, 0)], 9), ~on_order),
            "sku": blank(articles_of_order.gather(np.maximum(order, 0)), ~(is_review & on_order)),
            "submitted_at": stamps(at, epoch_day, ahead=SHANGHAI_AHEAD),
        }
    )


def campaigns(first_day: date, days: int) -> pl.DataFrame:
    """One row per campaign, needs no chance: a newsletter a month, 6.18 and 11.11. Also day, the place in
    the history."""
    rows = []
    for day in range(days):
        today = first_day + timedelta(days=day)
        if today.day == 12:
            rows.append((f"会员通讯 {today:%Y-%m}", "newsletter", today, 5, day))
        elif (today.month, today.day) == (6, 10):
            rows.append((f"618 大促 {today:%Y}", "promotion", today, 9, day))
        elif (today.month, today.day) == (11, 1):
            rows.append((f"双11 Double Eleven {today:%Y}", "promotion", today, 11, day))
    names, kinds, starts, lengths, at = zip(*rows, strict=True) if rows else ([], [], [], [], [])
    return pl.DataFrame(
        {
            "campaign_id": [f"K{place + 1:03d}" for place in range(len(rows))],
            "campaign_name": list(names),
            "objective": list(kinds),
            "medium": ["email"] * len(rows),
            "start_date": list(starts),
            "end_date": [start + timedelta(days=length - 1) for start, length in zip(starts, lengths, strict=True)],
            "day": list(at),
        },
        schema_overrides={"start_date": pl.Date, "end_date": pl.Date, "day": pl.Int64},
    )


def event_frame(
    rng,
    opt_rng,
    people: People,
    plan: pl.DataFrame,
    may_write,
    known_from,
    gone_from,
    epoch_day: int,
    end: int,
    first_number: int,
):
    """One row per e-mail sent, opened, clicked, bounced, unsubscribed from or marked as spam; the last three end the mails.

    may_write: bool; known_from, gone_from: seconds; after gone_from (the drop-out, if that signal is
    planted) fewer open.
    """
    day = plan["day"].to_numpy() if plan.height else np.zeros(0, int)
    may_write = may_write & people.known_email()
    sent_at = day * DAY + 10 * 3_600
    is_sent = (
        (rng.random((len(people), day.size)) < CAMPAIGN_REACH)
        & may_write[:, None]
        & (known_from[:, None] < sent_at[None, :])
    )
    position, campaign = np.nonzero(is_sent)
    at = sent_at[campaign] + rng.integers(0, 1_800, position.size)
    chance = np.where(at < gone_from[position], OPEN_CHANCE, OPEN_CHANCE_AFTER_DROP_OUT)
    opened = np.flatnonzero(rng.random(position.size) < chance)
    clicked = opened[rng.random(opened.size) < 0.25]
    opened_at = at + rng.integers(120, 2 * DAY, position.size)
    bounces = (opt_rng.random(len(people)) < DEAD_ADDRESSES)[position]
    chance = opt_rng.random(position.size)
    leaves = ~bounces & (chance < UNSUBSCRIBE_CHANCE + SPAM_CHANCE)
    is_spam = leaves & (chance < SPAM_CHANCE)
    # mails stand by person and time: how many of the person's own ended the mails before this one
    ends = np.cumsum(bounces | leaves)
    is_first = np.diff(position, prepend=-1) != 0
    before = ends - (bounces | leaves)
    is_wanted = before == before[np.maximum.accumulate(np.where(is_first, np.arange(position.size), 0))]
    groups = [np.arange(position.size), opened, clicked, np.flatnonzero(bounces), np.flatnonzero(leaves & ~is_spam)]
    groups.append(np.flatnonzero(is_spam))
    row = np.concatenate(groups)
    kind = np.repeat(np.arange(6), [group.size for group in groups])
    moment = np.select(
        [kind == 0, kind == 1, kind == 3],
        [at[row], opened_at[row], at[row] + 20],
        default=opened_at[row] + 40,
    )
    order = np.lexsort((row, moment))
    is_read = is_wanted[row] & ~(bounces[row] & np.isin(kind, [1, 2]))
    order = order[(moment[order] < end) & is_read[order]]
    row, kind, moment = row[order], kind[order], moment[order]
    return pl.DataFrame(
        {
            "event_id": numbered("E", first_number + np.arange(row.size), 9),
            "campaign_id": gather(plan["campaign_id"], campaign[row]),
            "recipient": people.email.gather(position[row]),
            "event": gather(["sent", "opened", "clicked", "bounced", "unsubscribed", "spam_complaint"], kind),
            "occurred_at": stamps(moment, epoch_day, ahead=SHANGHAI_AHEAD),
        }
    )


def interaction_frame(
    rng, opt_rng, people: People, known_from, gone_from, epoch_day: int, end: int, first_number: int
) -> pl.DataFrame:
    """One row per call, chat, visit or message between staff and a CRM contact; after gone_from few come
    from the customer."""
    position = np.repeat(np.arange(len(people)), rng.poisson(1.6, len(people)) * people.flags["in_crm"])
    at = rng.integers(0, end, position.size)
    keep = np.flatnonzero(at > known_from[position])
    keep = keep[np.argsort(at[keep], kind="stable")]
    position, at = position[keep], at[keep] // 60 * 60
    count = position.size
    is_inbound = rng.random(count) < np.where(at < gone_from[position], 0.35, 0.07)
    kind = pick(rng, range(5), count, [45, 30, 8, 12, 5])
    answered = rng.random(count) < np.where(at < gone_from[position], 0.7, 0.35)
    outcome = np.where(is_inbound | answered, rng.integers(0, 2, count), rng.integers(2, 4, count))
    talks = (kind == 0) & (outcome < 2)
    outcome = np.where(talks & ~is_inbound & (opt_rng.random(count) < NEVER_CALL_CHANCE), 4, outcome)
    return pl.DataFrame(
        {
            "互动编号": numbered("H", first_number + np.arange(count)),
            "客户编号": people.crm_id(position, np.zeros(count, bool)),
            "互动类型": gather(["电话", "微信", "拜访", "短信", "活动"], kind),
            "方向": gather(["呼出", "呼入"], is_inbound.astype(int)),
            "互动时间": stamps(at, epoch_day),
            "时长(秒)": blank(pl.Series(rng.integers(15, 1_200, count)), ~talks),
            "结果": gather(["已回复", "有意向", "未接通", "未回复", "勿再致电"], outcome),
            "备注": gather(words.CALL_NOTES, rng.integers(0, len(words.CALL_NOTES), count)),
        }
    )
