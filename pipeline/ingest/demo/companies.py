"""Companies that some of the demo shop's people work for, and the deals that the CRM notes with them.

EMPLOYED_SHARE of the people work for a company, about one company for every PEOPLE_A_COMPANY of them, the earlier ones of
a block the larger; some companies have nobody. Most contacts in the CRM name their company, half of the employed write
from its domain, some do both and some neither. A company in twenty stands in the CRM twice, the second record under
another name, with the registration number or the domain of the first.

The plain law of deals, independent of everything else: a company has Poisson(DEALS_A_COMPANY) of them, begun at any time
since its record. A deal stays an exponential time of mean STAGE_DAYS in each of four stages, then goes on with the stage's
chance PASS_CHANCE and is else lost (a tenth of those: invalid). After the fourth it is won, so a deal is won with chance
0.28. The stated chance of an open deal is the true one of its stage, the product of what lies ahead.
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from pipeline.ingest.demo import words
from pipeline.ingest.demo.orders import DAY
from pipeline.ingest.demo.people import NOBODY, People, blank, gather, numbered, pick, scramble
from pipeline.ingest.demo.shop import stamps

EMPLOYED_SHARE = 0.08
PEOPLE_A_COMPANY = 5
DEALS_A_COMPANY = 3.0
STAGE_DAYS = 18
PASS_CHANCE = np.array([0.7, 0.75, 0.7, 0.76])
SHARE = {"registration": 0.8, "domain": 0.85, "doubled": 0.05, "second_shares_number": 0.5}
SECOND_RECORDS = 40_000_000


@dataclass(frozen=True)
class Companies:
    """One block of companies: arrays and Series, a row per company. employer: per person, the place of the company."""

    number: np.ndarray
    employer: np.ndarray
    is_stated: np.ndarray
    has_work_email: np.ndarray
    flags: dict[str, np.ndarray]
    traits: dict[str, np.ndarray]
    domain: pl.Series
    registration: pl.Series

    def __len__(self):
        return self.number.size

    def crm_id(self, place, is_second):
        return numbered("QY", self.number[place] + np.where(is_second, SECOND_RECORDS, 0))

    def stated_ids(self) -> pl.Series:
        """The company id that each person's CRM contact names, null for none; a doubled company by either record."""
        place = np.maximum(self.employer, 0)
        if not len(self):
            return pl.Series([None] * self.employer.size, dtype=pl.String)
        is_second = self.flags["doubled"][place] & (np.arange(self.employer.size) % 2 == 1)
        return blank(self.crm_id(place, is_second), ~self.is_stated)


def draw_companies(rng, people: People, end: int) -> tuple[Companies, People]:
    """The companies of a block of people, and the people with the e-mail addresses that their work gives some of them."""
    count = len(people)
    employed = np.flatnonzero(rng.random(count) < EMPLOYED_SHARE)
    # one at least: a small shop may have nobody who works for it
    company_count = max(1, -(-employed.size // PEOPLE_A_COMPANY))
    number = people.number[:1] + np.arange(company_count)
    employer = np.full(count, NOBODY)
    employer[employed] = pick(rng, range(company_count), employed.size, 1 / np.arange(2, company_count + 2))
    works = employer != NOBODY
    chance = {name: rng.random(company_count) < share for name, share in SHARE.items()}
    brand = rng.integers(0, len(words.COMPANY_WORDS), company_count)
    companies = Companies(
        number=number,
        employer=employer,
        is_stated=works & people.flags["in_crm"] & (rng.random(count) < 0.75),
        has_work_email=works & (rng.random(count) < 0.5),
        # a doubled company is only findable by what both records share
        flags=chance | {name: chance[name] | chance["doubled"] for name in ("registration", "domain")},
        traits={
            "brand": brand,
            "industry": rng.integers(0, len(words.INDUSTRIES), company_count),
            "size": pick(rng, words.COMPANY_SIZES, company_count, [35, 35, 20, 10]),
            "place": pick(rng, words.PLACES, company_count, [place[3] for place in words.PLACES]),
            "created": rng.integers(0, max(end * 6 // 10, 1), company_count),
        },
        domain=gather([pinyin for _, pinyin in words.COMPANY_WORDS], brand)
        + pl.Series(number, dtype=pl.Int64).cast(pl.String)
        + ".example",
        # the district 000000 is none, so the number is nobody's
        registration=numbered("91000000", scramble(number, 16_807), 10),
    )
    at_work = people.email.str.split("@").list.first() + "@" + gather(companies.domain, employer)
    email = pl.DataFrame({"own": people.email, "work": at_work, "is_work": companies.has_work_email}).select(
        pl.when("is_work").then("work").otherwise("own").alias("email")
    )["email"]
    return companies, replace(people, email=email)


def company_frame(rng, companies: Companies, epoch_day: int, end: int) -> pl.DataFrame:
    """One row per record of a company in the CRM; some companies stand there twice."""
    flags, traits = companies.flags, companies.traits
    place = np.concatenate([np.arange(len(companies)), np.flatnonzero(flags["doubled"])])
    is_second = np.arange(place.size) >= len(companies)
    by_number = flags["second_shares_number"][place]
    has_number = np.where(is_second, by_number, flags["registration"][place])
    has_domain = np.where(is_second, ~by_number, flags["domain"][place])
    created = np.minimum(
        traits["created"][place] + np.where(is_second, rng.integers(1, 200 * DAY, place.size), 0), end - 60
    )
    modified = created + (rng.random(place.size) * (end - 1 - created)).astype(np.int64)
    industry = traits["industry"][place]
    city = gather([row[1].removesuffix("市") for row in words.PLACES], traits["place"][place])
    brand = gather([chinese for chinese, _ in words.COMPANY_WORDS], traits["brand"][place])
    trade = gather([trade for _, trade in words.INDUSTRIES], industry)
    ending = gather(["有限公司", "集团"], is_second.astype(int))
    domain = companies.domain.gather(place)
    site = pl.DataFrame({"domain": domain, "style": rng.integers(0, 4, place.size)}).select(
        pl.when(pl.col("style") == 0)
        .then(pl.lit("https://www.") + pl.col("domain") + "/about")
        .when(pl.col("style") == 1)
        .then(pl.lit("www.") + pl.col("domain"))
        .when(pl.col("style") == 2)
        .then(pl.lit("http://") + pl.col("domain").str.to_uppercase())
        .otherwise(pl.col("domain"))
        .alias("site")
    )["site"]
    size = traits["size"][place]
    return pl.DataFrame(
        {
            "企业编号": companies.crm_id(place, is_second),
            "企业名称": city + brand + trade + ending,
            "统一社会信用代码": blank(companies.registration.gather(place), ~has_number),
            "网址": blank(site, ~has_domain),
            "行业": gather([industry for industry, _ in words.INDUSTRIES], industry),
            "规模": gather(words.COMPANY_SIZES, size),
            "员工人数": np.array([12, 60, 300, 1500])[size] + rng.integers(0, 30, place.size),
            "省": gather([row[0] for row in words.PLACES], traits["place"][place]),
            "市": gather([row[1] for row in words.PLACES], traits["place"][place]),
            "负责人": gather(words.OWNERS, rng.integers(0, len(words.OWNERS), place.size)),
            "创建时间": stamps(created, epoch_day),
            "最后修改时间": stamps(modified, epoch_day),
        }
    )


def draw_deals(rng, companies: Companies, people: People, end: int) -> dict[str, np.ndarray]:
    """Deals by the law: arrays of equal length, by time: company, person (NOBODY for none), created, settled (when it
    closed, else when it came to its stage), stage (0..3, the last one reached), outcome (0 open, 1 won, 2 lost, 3 invalid),
    amount (CNY cents)."""
    company = np.repeat(np.arange(len(companies)), rng.poisson(DEALS_A_COMPANY, len(companies)))
    begun = companies.traits["created"][company]
    created = begun + (rng.random(company.size) * (end - 60 - begun)).astype(np.int64)
    order = np.argsort(created, kind="stable")
    company, created = company[order], created[order]
    count = company.size
    left_at = created[:, None] + np.cumsum(rng.exponential(STAGE_DAYS * DAY, (count, 4)), axis=1).astype(np.int64)
    passed = np.cumprod(rng.random((count, 4)) < PASS_CHANCE, axis=1).sum(axis=1)
    last = np.minimum(passed, 3)
    closed_at = left_at[np.arange(count), last]
    reached = np.minimum((left_at < end).sum(axis=1), last)
    is_closed = closed_at < end
    fate = np.where(passed == 4, 1, np.where(rng.random(count) < 0.1, 3, 2))
    entered_at = np.where(reached > 0, left_at[np.arange(count), np.maximum(reached - 1, 0)], created)

    # whom it is with: anybody of the company whom the CRM knows, in most deals
    known = np.flatnonzero((companies.employer != NOBODY) & people.flags["in_crm"])
    known = known[np.argsort(companies.employer[known], kind="stable")]
    starts = np.searchsorted(companies.employer[known], company, side="left")
    staff = np.searchsorted(companies.employer[known], company, side="right") - starts
    drawn = starts + (rng.random(count) * staff).astype(np.int64)
    person = np.full(count, NOBODY)
    names_one = (staff > 0) & (rng.random(count) < 0.7)
    person[names_one] = known[drawn[names_one]]
    return {
        "company": company,
        "person": person,
        "created": created,
        "settled": np.where(is_closed, closed_at, entered_at),
        "stage": reached,
        "outcome": np.where(is_closed, fate, 0),
        "amount": np.round(rng.lognormal(np.log(20_000), 0.8, count)).astype(np.int64) * 100,
    }


def chance_of_stage() -> np.ndarray:
    """The chance that a deal is won from each of the four stages."""
    return np.cumprod(PASS_CHANCE[::-1])[::-1]


def deal_frame(rng, deals, companies: Companies, people: People, epoch_day: int, first_number: int) -> pl.DataFrame:
    """One row per deal as the CRM exports it."""
    count, outcome = deals["company"].size, deals["outcome"]
    chance = np.select([outcome == 0, outcome == 1], [chance_of_stage()[deals["stage"]], 1.0], 0.0)
    expected = deals["created"] + 4 * STAGE_DAYS * DAY
    person = np.maximum(deals["person"], 0)
    return pl.DataFrame(
        {
            "商机编号": numbered("SJ", first_number + np.arange(count)),
            "企业编号": companies.crm_id(deals["company"], np.zeros(count, bool)),
            "客户编号": blank(people.crm_id(person, np.zeros(count, bool)), deals["person"] == NOBODY),
            "阶段": gather(["初步接洽", "需求确认", "方案报价", "合同谈判"], deals["stage"]),
            "状态": gather(["进行中", "赢单", "输单", "无效"], outcome),
            "金额": pl.Series("金额", deals["amount"] / 100),
            "赢率": pl.Series("赢率", np.round(chance, 2)),
            "创建时间": stamps(deals["created"], epoch_day),
            "预计成交日期": stamps(expected, epoch_day).cast(pl.Date),
            "关闭时间": stamps(deals["settled"], epoch_day, outcome == 0),
            "负责人": gather(words.OWNERS, rng.integers(0, len(words.OWNERS), count)),
            "商机来源": gather(words.ORIGINS, rng.integers(0, len(words.ORIGINS), count)),
            "最后修改时间": stamps(deals["settled"], epoch_day),
        }
    )


def company_truth(companies: Companies) -> pl.DataFrame:
    """One row per record of a company in the CRM: company_number, source_company_id, is_doubled."""
    place = np.concatenate([np.arange(len(companies)), np.flatnonzero(companies.flags["doubled"])])
    is_second = np.arange(place.size) >= len(companies)
    return pl.DataFrame(
        {
            "company_number": companies.number[place],
            "source_company_id": companies.crm_id(place, is_second),
            "is_doubled": companies.flags["doubled"][place],
        }
    )


def employment_truth(companies: Companies, people: People) -> pl.DataFrame:
    """One row per employed person: person_id, company_number, is_stated (in the CRM), is_by_email (its records tell the
    domain, and the person writes from there)."""
    position = np.flatnonzero(companies.employer != NOBODY)
    place = companies.employer[position]
    return pl.DataFrame(
        {
            "person_id": people.number[position],
            "company_number": companies.number[place],
            "is_stated": companies.is_stated[position],
            "is_by_email": companies.has_work_email[position] & companies.flags["domain"][place],
        }
    )
