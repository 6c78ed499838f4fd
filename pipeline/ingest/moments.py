"""Dates and times as exports write them, in SQL: by the stated formats, else year first; nothing is guessed."""

import re
from functools import reduce

from pipeline.ingest.cells import narrow, plain_or
from pipeline.warehouse import literal

TIMESTAMP_FORMATS = (
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d",
    "%Y-%m-%dT%H:%M:%S",
)
DATE_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y%m%d")
ABUTTING = re.compile(r"%-?[a-zA-Z]%")
# numbers are dates only where a layout says so: name -> SQL from the number
NUMBERED = {
    # days since 1899-12-30; before 1900-03-01 a spreadsheet counts a day that never was
    "excel": "case when {number} >= 61 and {number} < 2958466 then"
    " timestamp '1899-12-30' + to_milliseconds(round({number} * 86400000)::bigint) end",
    "epoch_s": "case when abs({number}) < 253402300800 then make_timestamp(round({number} * 1000000)::bigint) end",
    "epoch_ms": "case when abs({number}) < 253402300800000 then make_timestamp(round({number} * 1000)::bigint) end",
}
DAY = r"\d{4}-\d{1,2}-\d{1,2}"
CLOCK = r"[ T](?:[01]?\d|2[0-3]):\d{1,2}(?::\d{1,2}(?:\.\d{1,9})?)?"
OFFSET = r" ?(?:Z|UTC|[+-]\d{2}(?::?\d{2})?)"
# 1/2/2024 is the first of February in one country and the second of January in another
UNORDERED = r"^\d{1,2}[-/.]\d{1,2}[-/.](?:\d{4}|\d{2})(?:$|[ T,])"


def date_sql(cell: str, formats: tuple[str, ...]) -> str:
    """SQL for a date, null where the text is none in one of the formats (none given: year first)."""
    if formats:
        moment = f"({_stated(cell, formats)})::date"
        return plain_or(moment, f"({_of_workbook(cell)})::date") if _is_year_elsewhere(formats) else moment
    text = _year_first(cell)
    day = rf"regexp_extract({text}, '^({DAY})(?:{CLOCK}|[ T]0?0:00(?::00(?:\.0+)?)?{OFFSET})?$', 1)"
    return plain_or(f"({_moment(cell, DATE_FORMATS)})::date", f"try_cast(nullif({day}, '') as date)")


def timestamp_sql(cell: str, formats: tuple[str, ...], zone: str) -> str:
    """SQL for a time in UTC, null where the text is none in one of the formats (none given: year first).

    A text with an offset or a Z, and one counted from 1970, says its own zone; any other is local to the source's. A
    local time that a change of the clocks left out counts on from the change (02:30 is 03:30); one that came twice is
    the second.
    """
    if not formats:
        text = _year_first(cell)
        local = f"case when regexp_full_match({text}, '{DAY}(?:{CLOCK})?') then try_cast({text} as timestamp) end"
        own = f"case when regexp_full_match({text}, '{DAY}{CLOCK}{OFFSET}') then {_with_offset(text)} end"
        return plain_or(_utc(_moment(cell, TIMESTAMP_FORMATS), zone), plain_or(_utc(local, zone), own))
    absolute = [form for form in formats if "%z" in form]
    zulu = [form for form in formats if form.endswith("Z") or form.startswith("epoch_")]
    local = [form for form in formats if form not in absolute and form not in zulu]
    parsed = [_utc(_stated(cell, local), zone)] if local else []
    parsed += [_stated(cell, zulu)] if zulu else []
    parsed += [f"timezone('UTC', {_moment(cell, [form])})" for form in absolute]
    parsed += [_utc(_of_workbook(cell), zone)] if _is_year_elsewhere(formats) else []
    return reduce(lambda rest, one: plain_or(one, rest), reversed(parsed))


def _is_year_elsewhere(formats):
    """Whether no stated format begins with the year, so that a text that does can be no other date."""
    return not any(form.startswith("%Y") for form in formats)


def _of_workbook(cell):
    """A real date of a workbook, which comes as 2026-01-31 10:30:00 whatever the layout says of dates written as text."""
    return f"case when regexp_full_match({cell}, '{DAY}(?:{CLOCK})?') then try_cast({cell} as timestamp) end"


def unordered_sql(cell: str) -> str:
    """SQL: the text is a date whose day and month only a stated format tells apart."""
    return f"regexp_matches({cell}, {literal(UNORDERED)})"


def _utc(moment, zone):
    return moment if zone == "UTC" else f"timezone('UTC', timezone({literal(zone)}, {moment}))"


def _with_offset(text):
    full = f"regexp_replace({text}, ' ?(?:Z|UTC)$', '+00')"
    full = rf"regexp_replace({full}, ' ?([+-]\d{{2}}):?(\d{{2}})?$', '\1:\2')"
    return f"timezone('UTC', try_cast(rtrim({full}, ':') as timestamptz))"


def _year_first(cell):
    """2024年3月1日 9点5分, 2024/3/1 and the like as 2024-3-1 9:5."""
    text = f"trim({narrow(cell)})"
    text = rf"regexp_replace({text}, '^(\d{{4}})[/.年](\d{{1,2}})[/.月](\d{{1,2}})日?\s*', '\1-\2-\3 ')"
    text = rf"regexp_replace({text}, '(\d)[时点](\d{{1,2}})(?:分(\d{{1,2}}))?[分秒]?$', '\1:\2:\3')"
    return f"replace(rtrim({text}, ': '), ' T', 'T')"


def _stated(cell, formats):
    written = [form for form in formats if form not in NUMBERED]
    parsed = [_moment(cell, written)] if written else []
    number = f"try_cast({cell} as decimal(28, 10))"
    is_number = rf"regexp_full_match({cell}, '-?\d+(\.\d+)?')"
    parsed += [
        f"case when {is_number} then {NUMBERED[form].format(number=number)} end" for form in formats if form in NUMBERED
    ]
    return reduce(lambda rest, one: plain_or(one, rest), reversed(parsed))


def _moment(cell, formats):
    """try_strptime, without what it guesses.

    It takes the words infinity and epoch for 1900, the year of 26-01-05 for 26, and 2026115 by %Y%m%d for 5 November: a
    format that begins with %Y needs a digit in third place, any other a year of four digits (with %y: a digit), and
    where numbers abut the text must be what the format writes.
    """
    spaced = [form for form in formats if not ABUTTING.search(form)]
    parsed = [f"try_strptime({cell}, {_list(spaced)})"] if spaced else []
    for form in formats:
        if form not in spaced:
            moment = f"try_strptime({cell}, {literal(form)})"
            parsed.append(f"case when strftime({moment}, {literal(form)}) = {cell} then {moment} end")
    if all(form.startswith("%Y") for form in formats):
        guard = f"substr({cell}, 3, 1) between '0' and '9'"
    else:
        digits = r"\d" if any("%y" in form for form in formats) else r"\d{4}"
        guard = f"regexp_matches({cell}, '{digits}')"
    return f"case when {guard} then {parsed[0] if len(parsed) == 1 else 'coalesce(' + ', '.join(parsed) + ')'} end"


def _list(texts):
    return "[" + ", ".join(literal(text) for text in texts) + "]"
