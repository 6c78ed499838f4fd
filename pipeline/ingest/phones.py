"""Phone numbers to E.164 by the rules of the phonenumbers library: in SQL where the result is provably its own, else by it."""

import re
import unicodedata
from functools import lru_cache

import phonenumbers
from phonenumbers import PhoneMetadata

from pipeline.ingest.places import country_code, names_of_country
from pipeline.warehouse import literal

SEVERAL = re.compile(r"[;,、/|\n]+(?!ext=)")
LABEL = re.compile(r"^(?:tel|phone|mobile|电话|手机|联系电话|手机号)\s*[:：]?\s*", re.IGNORECASE)
EXTENSION = re.compile(
    r"[-\s(]*(?:;ext=|ext(?:ension|n)?\.?|x|#|转|轉|分机号?|分機)\s*[:.]?\s*\d{1,7}\s*\)?$", re.IGNORECASE
)
MASKED = r"[*＊•●]|[0-9][xX]{3,}[0-9]"
MASK = re.compile(MASKED)
WHOLE = re.compile(r"\d{7,15}\.0+")
# a spreadsheet shows 1.38001E+10: five decimals at most, the rest of the number lost
SCIENTIFIC = re.compile(r"(\d)\.(\d{6,14})[eE]\+?(\d{1,2})")
NUMBER = re.compile(r"[+(]?[\d\s().\-‐-―−~]+")


def define_phones(con) -> None:
    """The function read_phone(text, region, country) of a connection: see read_phone."""
    text = "VARCHAR"
    con.create_function("read_phone", read_phone, [text, text, text], text, null_handling="special")


def region_of(calling_code: str) -> str:
    """The region whose rules read numbers without a country code: CN for "86", US for "1"; ZZ where there is none."""
    return phonenumbers.region_code_for_country_code(int(calling_code))


@lru_cache(maxsize=200_000)
def read_phone(text: str | None, region: str, country: str | None) -> str | None:
    """The E.164 number that a text says, None where it says none that exists.

    Of several it is the first that exists; an extension is left off. region: how to read a number without a country
    code, unless the row's country (any name of it, or its code) says otherwise.
    """
    if text is None:
        return None
    region = country_code(country) or region
    text = LABEL.sub("", unicodedata.normalize("NFKC", text).strip())
    found = (_read_one(part, region) for part in SEVERAL.split(text))
    return next((number for number in found if number), None)


def _read_one(text, region):
    text = text.strip()
    if MASK.search(text):
        return None
    text = EXTENSION.sub("", text).strip()
    if WHOLE.fullmatch(text):
        text = text.split(".")[0]
    elif match := SCIENTIFIC.fullmatch(text):
        digits, power = match[1] + match[2], int(match[3])
        if not len(match[2]) <= power <= 14:
            return None
        text = digits.ljust(power + 1, "0")
    if not NUMBER.fullmatch(text):
        return None
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def e164_sql(cell: str, calling_code: str, country: str = "null") -> str:
    """SQL for the E.164 number of a cell; null where it is none. country: SQL for the row's country, as written."""
    region = region_of(calling_code)
    careful = f"read_phone({cell}, {literal(region)}, {country})"
    metadata = PhoneMetadata.metadata_for_region(region, None)
    if metadata is None:
        return f"case when {cell} is not null then {careful} end"
    own = "true"
    if country != "null":
        names = ", ".join(literal(name) for name in names_of_country(region))
        own = f"({country} is null or {country} in ({names}))"
    # the most of any file first: a national mobile, digits alone
    mobile = metadata.mobile
    cases = [(f"{_is_national(cell, mobile, metadata)} and {own}", f"'+{calling_code}' || {cell}")]
    bare = f"replace(replace({cell}, ' ', ''), '-', '')"
    # digits in groups: nothing that phonenumbers would read as an extension, a second number or letters
    grouped = rf"regexp_full_match({cell}, '\+?[0-9]+([ -][0-9]+)*')"
    for shape in (mobile, metadata.fixed_line):
        for prefix, is_local in _prefixes(metadata):
            body = f"substr({bare}, {len(prefix) + 1})"
            begins = f"starts_with({bare}, '{prefix}')" if prefix else "true"
            is_own = f" and {own}" if is_local else ""
            cases.append(
                (
                    f"{begins} and {grouped} and {_is_national(body, shape, metadata, prefix)}{is_own}",
                    f"'+{calling_code}' || {body}",
                )
            )
    listed = " ".join(f"when {condition} then {number}" for condition, number in cases)
    return f"case when {cell} is null then null {listed} else {careful} end"


def _prefixes(metadata):
    """(What stands before a national number where phonenumbers takes off just that, whether it needs the region)."""
    code, trunk = str(metadata.country_code), metadata.national_prefix
    found = [("", True), (f"+{code}", False)]
    idd = re.match(metadata.international_prefix or "$", f"00{code}")
    if idd and idd[0] == "00":
        found.append((f"00{code}", True))
    parsing = metadata.national_prefix_for_parsing
    if (
        trunk
        and not metadata.national_prefix_transform_rule
        and (parsing == trunk or parsing.startswith(f"{trunk}|") or parsing.endswith(f")|{trunk}"))
    ):
        found.append((trunk, True))
    if code != trunk:
        found.append((code, True))
    return found


def _is_national(digits, shape, metadata, prefix=""):
    """SQL: the digits are a whole national number of the shape, of which phonenumbers takes off no prefix."""
    code = str(metadata.country_code)
    lengths = sorted(set(shape.possible_length) & set(metadata.general_desc.possible_length))
    if prefix == code:
        # only where it would be too long with the country code is that certainly no part of it
        lengths = [length for length in lengths if length + len(code) > max(metadata.general_desc.possible_length)]
    if not lengths or not shape.national_number_pattern:
        return "false"
    prefixes = [metadata.national_prefix_for_parsing] if metadata.national_prefix_for_parsing else []
    if prefix in ("", code, metadata.national_prefix):
        prefixes += [metadata.international_prefix, *([code] if not prefix else [])]
    untouched = f"not regexp_matches({digits}, {literal('^(?:' + '|'.join(prefixes) + ')')})" if prefixes else "true"
    return (
        f"length({digits}) in ({', '.join(map(str, lengths))})"
        f" and regexp_full_match({digits}, {literal(shape.national_number_pattern)}) and {untouched}"
        f" and regexp_full_match({digits}, {literal(metadata.general_desc.national_number_pattern)})"
    )
