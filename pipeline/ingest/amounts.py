"""Numbers and amounts of money as exports write them, in SQL: the plain number first, then signs, groups and brackets."""

import re

from pipeline.ingest.cells import narrow, plain_or
from pipeline.warehouse import literal

CURRENCY_SIGNS = {
    "CNY": ("￥", "¥", "元", "RMB", "人民币"),
    "JPY": ("￥", "¥", "円", "日元"),
    "USD": ("US$", "$"),
    "HKD": ("HK$", "$"),
    "TWD": ("NT$", "$"),
    "AUD": ("A$", "$"),
    "CAD": ("C$", "$"),
    "SGD": ("S$", "$"),
    "EUR": ("€",),
    "GBP": ("£",),
}

# what is none of an amount's own characters
NO_SIGN = r"0-9.,()+\-"
ANY_SIGN = object()


def decimal_sql(cell: str, mark: str) -> str:
    """SQL for a number, null where it is none; 12.5% is 0.125. mark: the decimal mark, "." or ","."""
    share = f"(try_cast({_digits(cell, mark)} as decimal(18, 8)) / 100)::decimal(18, 4)"
    careful = (
        f"case when {_has_shape(cell, mark, (), _fraction(mark))} then try_cast({_digits(cell, mark)} as decimal(18, 4))"
        f" when {_has_shape(cell, mark, ('%',), _fraction(mark))} then {share} end"
    )
    return careful if mark == "," else plain_or(_plain(cell), careful)


def money_sql(cell: str, currency: str, mark: str, stated: str | None = None) -> str:
    """SQL for an amount, null where it is none. Only the signs of its own currency may stand beside it.

    (1.50) and 1.50- are -1.50. mark: the decimal mark, "." or ",". currency: the file's. stated: SQL for the currency
    that the row states, null where it states none.
    """
    signs = (*CURRENCY_SIGNS.get(currency, ()), currency) if currency else ()
    shape = _has_shape(cell, mark, signs, _fraction(mark))
    if stated:
        shape = f"{_has_shape(cell, mark, ANY_SIGN, _fraction(mark))} and {_has_own_signs(cell, stated, currency)}"
    careful = f"case when {shape} then try_cast({_digits(cell, mark)} as decimal(18, 4)) end"
    return careful if mark == "," else plain_or(_plain(cell), careful)


def integer_sql(cell: str, mark: str) -> str:
    """SQL for a whole number, null where it is none: nothing is rounded."""
    whole = f"(?:{re.escape(mark)}0*)?"
    digits = f"regexp_replace({_digits(cell, mark)}, '\\.0*$', '')"
    careful = f"case when {_has_shape(cell, mark, (), whole)} then try_cast({digits} as bigint) end"
    if mark == ",":
        return careful
    plain = rf"regexp_full_match({cell}, '[+-]?\d+(\.0*)?')"
    return f"case when {plain} then try_cast(split_part({cell}, '.', 1) as bigint) else {careful} end"


def _plain(cell):
    """Not with try_cast alone: it takes 1_000 for 1000."""
    return f"case when not contains({cell}, '_') then try_cast({cell} as decimal(18, 4)) end"


def _fraction(mark):
    return rf"(?:{re.escape(mark)}\d+)?"


def _bare(cell):
    return rf"regexp_replace({narrow(f'upper({cell})')}, '\s', '', 'g')"


def _has_shape(cell, mark, signs, fraction):
    """One minus at most, or brackets; a sign of the currency before or after; groups of three."""
    group = r"\." if mark == "," else ","
    number = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+){fraction}"
    if signs is ANY_SIGN:
        sign = f"(?:[^{NO_SIGN}]+)"
    else:
        sign = f"(?:{'|'.join(re.escape(one.upper()) for one in signs)})" if signs else ""
    before, after = (f"{sign}?", f"{sign}?") if sign else ("", "")
    if signs == ("%",):
        before, after = "", "%"
    amount = f"{before}{number}{after}"
    shape = rf"[+-]?{amount}|{sign}[+-]{number}|{amount}-|\({amount}\)"
    return f"regexp_full_match({_bare(cell)}, {literal(shape)})"


def _has_own_signs(cell, stated, currency):
    """What stands before and after a number are signs of the row's currency, or its code, or nothing.

    One look for any sign comes first: most amounts that are not plain have groups of three alone.
    """
    own = f"coalesce({stated}, {literal(currency)})"
    signs = f"string_split(trim(regexp_replace({_bare(cell)}, '[{NO_SIGN}]+', ' ', 'g')), ' ')"
    known = "|".join(
        f"{code}(?:{'|'.join(re.escape(sign.upper()) for sign in some)})" for code, some in CURRENCY_SIGNS.items()
    )
    # one pattern and no list of words, which would be planned anew for every column of every file
    is_foreign = f"sign <> '' and sign <> {own} and not regexp_full_match(concat({own}, sign), {literal(known)})"
    none_foreign = f"len(list_filter({signs}, lambda sign: {is_foreign})) = 0"
    return f"case when regexp_full_match({cell}, '[{NO_SIGN} ]*') then true else {none_foreign} end"


def _digits(cell, mark):
    bare = _bare(cell)
    kept = f"regexp_replace({bare}, '[^0-9{mark}]', '', 'g')"
    point = f"replace({kept}, ',', '.')" if mark == "," else kept
    return f"(case when regexp_matches({bare}, '[-(]') then '-' else '' end || {point})"
