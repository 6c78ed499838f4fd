"""Who the demo shop's customers are, and under which ids, e-mails and phones each system knows them."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from pipeline.ingest.demo import words

# prime, so that multiplying modulo it gives every number below it once
ID_SPACE = 99_999_989
SECOND_ACCOUNTS = 40_000_000
MAX_CUSTOMERS = SECOND_ACCOUNTS

SHARE = {
    "in_shop": 0.92,
    "in_crm": 0.80,
    "shop_account": 0.95,
    "second_shop_account": 0.02,
    "second_crm_contact": 0.02,
    "shop_phone": 0.85,
    "crm_phone": 0.95,
    "crm_email": 0.70,
    "english": 0.08,
    "night_owl": 0.10,
}
MAIL_DOMAINS = ["example.com", "example.net", "example.org", "mail.example"]
NOBODY = -1


def pick(rng, choices, count, weights=None):
    """count positions of choices, as int array; weights need not sum to one."""
    if weights is None:
        return rng.integers(0, len(choices), count)
    edges = np.cumsum(np.asarray(weights, float))
    return np.searchsorted(edges, rng.random(count) * edges[-1], side="right")


def gather(values, index) -> pl.Series:
    """values[index] as a Series; an index of -1 gives null."""
    found = (values if isinstance(values, pl.Series) else pl.Series(values, dtype=pl.String)).gather(
        np.maximum(index, 0)
    )
    return blank(found, index < 0)


def blank(series: pl.Series, is_null) -> pl.Series:
    """The series with null where is_null holds."""
    return series.to_frame("value").select(
        pl.when(pl.lit(pl.Series(np.asarray(is_null)))).then(None).otherwise(pl.col("value")).alias("value")
    )["value"]


def numbered(prefix, numbers, width=8) -> pl.Series:
    """Ids such as U00000123; numbers is an int array."""
    return (
        pl.Series("id", numbers)
        .to_frame()
        .select(pl.lit(prefix) + pl.col("id").cast(pl.String).str.zfill(width))["literal"]
    )


def scramble(numbers, multiplier):
    """A number below ID_SPACE for each number below it, one to one."""
    return (np.asarray(numbers, np.int64) * multiplier + 1_234_567) % ID_SPACE


def phones_of(numbers) -> pl.Series:
    """Mobile numbers in the 1349 range: valid, but of a satellite service, not of people. One to one below ten million."""
    return numbered("134", 90_000_000 + scramble(numbers, 7_368_787) % 10_000_000)


def share_of(numbers, multiplier, percent):
    """Whether each number is among that percentage, the same for ever: what draws nothing moves nothing else."""
    return scramble(numbers, multiplier) % 100 < percent


def or_placeholder(phone: pl.Series, numbers) -> pl.Series:
    """A tenth of those without a number type one that passes the form."""
    types_one = pl.lit(pl.Series(share_of(numbers, 2_147_483, 10)))
    return phone.to_frame("phone").select(
        pl.when(pl.col("phone").is_null() & types_one)
        .then(pl.lit("13800000000"))
        .otherwise(pl.col("phone"))
        .alias("phone")
    )["phone"]


def write_phone(phone: pl.Series, style) -> pl.Series:
    """Phones as people type them; style is an int array in 0..4 (0 and 1 leave the digits alone)."""
    head, middle, tail = phone.str.slice(0, 3), phone.str.slice(3, 4), phone.str.slice(7, 4)
    frame = pl.DataFrame({"phone": phone, "head": head, "middle": middle, "tail": tail, "style": style})
    dashed = pl.concat_str("head", "middle", "tail", separator="-")
    return frame.select(
        pl.when(pl.col("style") <= 1)
        .then(pl.col("phone"))
        .when(pl.col("style") == 2)
        .then(pl.lit("+86 ") + dashed)
        .when(pl.col("style") == 3)
        .then(pl.concat_str("head", "middle", "tail", separator=" "))
        .otherwise(pl.lit("0086") + pl.col("phone"))
        .alias("phone")
    )["phone"]


def write_email(email: pl.Series, style) -> pl.Series:
    """E-mails as people type them; style is an int array in 0..9 (0: capitals, 1: a leading capital and
    blanks)."""
    frame = pl.DataFrame({"email": email, "style": style})
    return frame.select(
        pl.when(pl.col("style") == 0)
        .then(pl.col("email").str.to_uppercase())
        .when(pl.col("style") == 1)
        .then(pl.lit(" ") + pl.col("email").str.slice(0, 1).str.to_uppercase() + pl.col("email").str.slice(1))
        .otherwise(pl.col("email"))
        .alias("email")
    )["email"]


@dataclass(frozen=True)
class People:
    """One block of people. Arrays and Series of equal length, a row per person; position is the place in
    the block."""

    number: np.ndarray
    flags: dict[str, np.ndarray]
    traits: dict[str, np.ndarray]
    name: pl.Series
    email: pl.Series
    second_email: pl.Series
    phone: pl.Series

    def __len__(self):
        return self.number.size

    def shop_id(self, position, is_second):
        account = self.number[position] + np.where(is_second, SECOND_ACCOUNTS, 0)
        return numbered("U", scramble(account, 48_271))

    def crm_id(self, position, is_second):
        return numbered("C", self.number[position] + np.where(is_second, SECOND_ACCOUNTS, 0))

    def requester_id(self, position):
        return numbered("R", scramble(self.number[position], 16_807))

    def known_email(self):
        """Which people any system knows by the first e-mail address, and so may write to."""
        flags = self.flags
        return flags["has_account"] | flags["guest_by_email"] | (flags["in_crm"] & flags["crm_email"])

    def known_phone(self):
        flags = self.flags
        return (
            (flags["has_account"] & flags["shop_phone"])
            | (flags["in_shop"] & ~flags["has_account"] & ~flags["guest_by_email"])
            | (flags["in_crm"] & flags["crm_phone"])
        )


def draw_people(rng, start: int, count: int) -> People:
    """People number start .. start + count - 1."""
    number = np.arange(start, start + count, dtype=np.int64)
    chance = {name: rng.random(count) < share for name, share in SHARE.items()}
    in_shop = chance["in_shop"]
    in_crm = chance["in_crm"] | ~in_shop
    has_account = in_shop & chance["shop_account"]
    second_account = has_account & chance["second_shop_account"]
    second_contact = in_crm & chance["second_crm_contact"]
    flags = {
        "in_shop": in_shop,
        "in_crm": in_crm,
        "has_account": has_account,
        "second_account": second_account,
        "second_contact": second_contact,
        # a doubled account or contact is only findable by what both share
        "shop_phone": chance["shop_phone"] | second_account,
        "crm_phone": chance["crm_phone"] | second_contact | ~chance["crm_email"],
        "crm_email": chance["crm_email"],
        "guest_by_email": in_shop & ~has_account & (rng.random(count) < 0.5),
        "english": chance["english"],
        "night_owl": chance["night_owl"],
    }
    gender = pick(rng, words.GENDERS, count, [48, 50, 2])
    half = len(words.GIVEN_NAMES) // 2
    surname = pick(rng, words.SURNAMES, count, 1 / np.arange(2, len(words.SURNAMES) + 2))
    given = np.where(gender == 0, rng.integers(0, half, count), rng.integers(half, len(words.GIVEN_NAMES), count))
    english = np.where(gender == 0, rng.integers(0, 10, count), rng.integers(10, 20, count))
    latin_surname = gather([pinyin for _, pinyin in words.SURNAMES], surname)
    latin_given = gather([pinyin for _, pinyin in words.GIVEN_NAMES], given)
    chinese = gather([sign for sign, _ in words.SURNAMES], surname) + gather(
        [sign for sign, _ in words.GIVEN_NAMES], given
    )
    foreign = gather(words.ENGLISH_NAMES, english) + " " + latin_surname.str.to_titlecase()
    name = pl.DataFrame({"is_foreign": flags["english"], "chinese": chinese, "foreign": foreign}).select(
        pl.when("is_foreign").then("foreign").otherwise("chinese").alias("name")
    )["name"]
    domain = gather(MAIL_DOMAINS, pick(rng, MAIL_DOMAINS, count, [6, 2, 1, 1]))
    digits = pl.Series(number + 1000).cast(pl.String)
    traits = {
        "gender": gender,
        "birth_year_age": np.clip(np.round(rng.normal(38, 12, count)), 18, 85).astype(int),
        "birth_day": rng.integers(0, 365, count),
        "place": pick(rng, words.PLACES, count, [place[3] for place in words.PLACES]),
        "payment_method": pick(rng, words.PAYMENT_METHODS, count, [42, 36, 10, 9, 3]),
        "sales_channel": pick(rng, words.SALES_CHANNELS, count, [45, 20, 15, 12, 8]),
        "origin": pick(rng, words.ORIGINS, count, [22, 18, 12, 16, 16, 12, 4]),
        "favourite_brand": rng.integers(0, 3, count),
    }
    return People(
        number=number,
        flags=flags,
        traits=traits,
        name=name,
        email=latin_given + "." + latin_surname + digits + "@" + domain,
        second_email=latin_surname + digits + ".home@" + domain,
        # some share the telephone of the person before them: a family
        phone=phones_of(number - (share_of(number, 15_485_863, 3) & (number > start))),
    )
