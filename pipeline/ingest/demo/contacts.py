"""Who the systems know: CRM contacts and consents in Chinese, shop accounts and memberships in English."""

import numpy as np
import polars as pl

from pipeline.ingest.demo import words
from pipeline.ingest.demo.orders import DAY
from pipeline.ingest.demo.people import (
    NOBODY,
    People,
    blank,
    gather,
    numbered,
    or_placeholder,
    pick,
    write_email,
    write_phone,
)
from pipeline.ingest.demo.shop import SHANGHAI_AHEAD, cny, stamps

TIER_SPEND = [2_000, 6_000, 15_000]


def draw_registration(rng, people: People, first_purchase, end: int) -> dict[str, np.ndarray]:
    """Seconds at which shop and CRM first recorded each person; first_purchase in seconds, NOBODY for those
    without."""
    count = len(people)
    buys = first_purchase >= 0
    anchor = np.where(buys, first_purchase, rng.integers(0, end, count))
    shop = anchor - rng.integers(300, 3 * DAY, count)
    crm = np.where(
        rng.random(count) < 0.6,
        anchor - rng.exponential(20 * DAY, count),
        anchor + rng.exponential(40 * DAY, count),
    )
    crm = np.where(buys, crm, anchor).astype(np.int64)
    return {"shop": np.minimum(shop, end - 60), "crm": np.where(crm < end - 60, crm, anchor)}


def birth_dates(people: People, last_year: int) -> pl.Series:
    day = np.datetime64(f"{last_year}-01-01", "D").astype(np.int64)
    born = day - people.traits["birth_year_age"] * 365.25 + people.traits["birth_day"]
    return pl.Series("born", born.astype(np.int64)).cast(pl.Int32).cast(pl.Date)


def contact_frame(
    rng, opt_rng, people: People, registered, spend, company_ids: pl.Series, epoch_day: int, end: int, last_year: int
) -> pl.DataFrame:
    """One row per CRM contact; some people stand there twice, some want no text messages.

    spend: CNY cents per person; company_ids: null for none.
    """
    flags = people.flags
    position = np.concatenate([np.flatnonzero(flags["in_crm"]), np.flatnonzero(flags["second_contact"])])
    is_second = np.zeros(position.size, bool)
    is_second[flags["in_crm"].sum() :] = True
    count = position.size
    place = people.traits["place"][position]
    created = registered["crm"][position] + np.where(is_second, rng.integers(0, 50 * DAY, count), 0)
    created = np.minimum(created, end - 60)
    modified = created + (rng.random(count) * (end - 1 - created)).astype(np.int64)

    referrer = position[rng.integers(0, count, count)]
    is_referred = (
        (rng.random(count) < 0.12) & (registered["crm"][referrer] < created) & (referrer != position) & ~is_second
    )
    tier = np.searchsorted(TIER_SPEND, spend[position] / 100)
    email = write_email(people.email.gather(position), rng.integers(0, 12, count))
    phone = write_phone(people.phone.gather(position), rng.integers(0, 5, count))
    born = birth_dates(people, last_year).gather(position)

    def some(choices, share, weights=None):
        return gather(choices, np.where(rng.random(count) < share, pick(rng, choices, count, weights), NOBODY))

    street = gather(words.STREETS, rng.integers(0, len(words.STREETS), count))
    address = street + pl.Series(rng.integers(1, 400, count)).cast(pl.String) + "号"
    return pl.DataFrame(
        {
            "客户编号": people.crm_id(position, is_second),
            "姓名": people.name.gather(position),
            "性别": gather(words.GENDERS, people.traits["gender"][position]),
            "生日": blank(born, rng.random(count) < 0.25),
            "手机": or_placeholder(blank(phone, ~(flags["crm_phone"][position] | is_second)), people.number[position]),
            "邮箱": blank(email, ~flags["crm_email"][position] | is_second),
            "企业编号": blank(company_ids.gather(position), is_second),
            "省": gather([row[0] for row in words.PLACES], place),
            "市": gather([row[1] for row in words.PLACES], place),
            "区": gather([row[2] for row in words.PLACES], place),
            "详细地址": blank(address, rng.random(count) < 0.3),
            "职业": some(words.OCCUPATIONS, 0.7, [30, 8, 5, 14, 10, 7, 12, 8, 6]),
            "学历": some(words.EDUCATIONS, 0.6, [20, 28, 38, 11, 3]),
            "婚姻状况": some(words.MARITAL, 0.6, [40, 54, 6]),
            "收入区间": some(words.INCOMES, 0.5, [18, 34, 30, 14, 4]),
            "会员等级": gather(words.TIERS, tier),
            "积分": spend[position] // 1_000,
            "客户来源": gather(words.ORIGINS, people.traits["origin"][position]),
            "负责人": some(words.OWNERS, 0.8),
            "短信退订": gather(["0", "1"], (opt_rng.random(count) < 0.04).astype(int)),
            "推荐人编号": blank(people.crm_id(referrer, np.zeros(count, bool)), ~is_referred),
            "创建时间": stamps(created, epoch_day),
            "最后修改时间": stamps(modified, epoch_day),
        }
    )


def account_frame(
    rng, opt_rng, people: People, registered, spend, epoch_day: int, end: int, last_year: int
) -> pl.DataFrame:
    """One row per shop account; some people have two. Most never said whether they want the newsletter."""
    flags = people.flags
    position = np.concatenate([np.flatnonzero(flags["has_account"]), np.flatnonzero(flags["second_account"])])
    is_second = np.zeros(position.size, bool)
    is_second[flags["has_account"].sum() :] = True
    count = position.size
    created = registered["shop"][position]
    modified = created + (rng.random(count) * (end - 1 - created)).astype(np.int64)
    email = pl.concat([people.email, people.second_email]).gather(position + np.where(is_second, len(people), 0))
    # some have moved and told the shop alone
    has_moved = people.number[position] % 50 == 7
    place = (people.traits["place"][position] + has_moved) % len(words.PLACES)
    tells = rng.random(count) < 0.5
    return pl.DataFrame(
        {
            "customer_id": people.shop_id(position, is_second),
            "display_name": blank(people.name.gather(position), rng.random(count) < 0.2),
            "email": write_email(email, rng.integers(2, 14, count) % 11),
            "mobile": or_placeholder(
                blank(
                    write_phone(people.phone.gather(position), rng.integers(0, 7, count) % 5),
                    ~(flags["shop_phone"][position] | is_second),
                ),
                people.number[position],
            ),
            "gender": gather(["M", "F", "X"], np.where(tells, people.traits["gender"][position], NOBODY)),
            "birthday": blank(birth_dates(people, last_year).gather(position), ~tells),
            "country": pl.repeat("CN", count, eager=True),
            "province": gather([row[0] for row in words.PLACES], place),
            "city": gather([row[1] for row in words.PLACES], place),
            "member_level": gather(words.TIERS_SHOP, np.searchsorted(TIER_SPEND, spend[position] / 100)),
            "points": spend[position] // 1_000,
            "newsletter": gather(["", "yes", "no"], pick(opt_rng, range(3), count, [69, 25, 6])),
            "utm_source": gather(words.ORIGINS_SHOP, people.traits["origin"][position]),
            "registered_at": stamps(created, epoch_day, ahead=SHANGHAI_AHEAD),
            "updated_at": stamps(modified, epoch_day, ahead=SHANGHAI_AHEAD),
            "is_closed": gather(["no", "yes"], (rng.random(count) < 0.003).astype(int)),
        }
    )


def subscription_frame(rng, people: People, registered, epoch_day: int, end: int, first_number: int) -> pl.DataFrame:
    """One row per paid membership year of a shop account."""
    position = np.flatnonzero(people.flags["has_account"] & (rng.random(len(people)) < 0.08))
    count = position.size
    begun = registered["shop"][position] + rng.integers(DAY, 300 * DAY, count)
    position, begun = position[begun < end], begun[begun < end]
    count = position.size
    plan = (rng.random(count) < 0.3).astype(int)
    ended = begun + np.array([90, 365])[plan] * DAY
    is_running = ended >= end
    return pl.DataFrame(
        {
            "membership_id": numbered("MB", first_number + np.arange(count)),
            "customer_id": people.shop_id(position, np.zeros(count, bool)),
            "plan": gather(["Plus quarter", "Plus year"], plan),
            "state": gather(["Expired", "Active"], is_running.astype(int)),
            "started_at": stamps(begun, epoch_day, ahead=SHANGHAI_AHEAD),
            "ended_at": stamps(ended, epoch_day, is_running, SHANGHAI_AHEAD),
            "fee": cny(np.array([4_800, 14_800])[plan]),
        }
    )


def draw_consents(rng, people: People, registered, epoch_day: int, end: int, first_number: int):
    """One row per consent record of a CRM contact, and who may be written to at the end (bool per person)."""
    in_crm = people.flags["in_crm"]
    count = len(people)
    says_yes = rng.random(count) < 0.72
    takes_back = in_crm & says_yes & (rng.random(count) < 0.08)
    at = registered["crm"] + 60
    later = at + (rng.random(count) * (end - 1 - at)).astype(np.int64)
    profiling = in_crm & (rng.random(count) < 0.4)
    sharing = in_crm & (rng.random(count) < 0.1)
    groups = [
        # who, purpose, channel, granted, when
        (in_crm, 0, pick(rng, range(4), count, [50, 25, 10, 15]), says_yes, at),
        (takes_back, 0, np.full(count, 0), np.zeros(count, bool), later),
        (profiling, 1, np.full(count, 0), rng.random(count) < 0.9, at),
        (sharing, 2, np.full(count, 0), rng.random(count) < 0.3, at),
    ]
    position = np.concatenate([np.flatnonzero(who) for who, *_ in groups])
    purpose = np.concatenate([np.full(who.sum(), code) for who, code, *_ in groups])
    channel = np.concatenate([channel[who] for who, _, channel, *_ in groups])
    granted = np.concatenate([granted[who] for who, _, _, granted, _ in groups])
    when = np.concatenate([when[who] for who, *_, when in groups])
    frame = pl.DataFrame(
        {
            "同意编号": numbered("CS", first_number + np.arange(position.size)),
            "客户编号": people.crm_id(position, np.zeros(position.size, bool)),
            "用途": gather(["营销", "画像", "数据共享"], purpose),
            "渠道": gather(["任意", "邮件", "短信", "电话"], channel),
            "状态": gather(["拒绝", "同意"], granted.astype(int)),
            "取得时间": stamps(when, epoch_day),
            "凭据": gather(words.CONSENT_EVIDENCE, rng.integers(0, len(words.CONSENT_EVIDENCE), position.size)),
        }
    )
    return frame, in_crm & says_yes & ~takes_back
