"""What kind of values a column holds, judged by a sample of its cells as text, whatever its name is."""

import re
import unicodedata
from collections import Counter

KINDS = (
    "empty",
    "integer",
    "decimal",
    "money",
    "date",
    "timestamp",
    "boolean",
    "email",
    "phone",
    "id",
    "category",
    "text",
)
# nine cells of ten decide: a few that are broken, or say "unknown", change nothing
MOST = 0.9
MAX_CATEGORIES = 50
MAX_CATEGORY_LENGTH = 40
# a whole number of this many digits counts nothing: it is a number of an order, a person, a parcel
MIN_ID_DIGITS = 10
# and one of this many is taken for one where all have the same length and hardly any comes twice
MIN_KEY_DIGITS = 8

BLANKS = {"", "-", "--", "null", "n/a", "#n/a", "nan", r"\n"}
BOOLEAN_WORDS = {"true", "false", "yes", "no", "y", "n", "t", "f", "是", "否"}

NUMBER = r"(\d+|\d{1,3}(,\d{3})+|\d{1,3}(\.\d{3})+(?=,))([.,]\d+)?"
INTEGER = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)")
DECIMAL = re.compile(rf"[+-]?{NUMBER}(e[+-]?\d+)?\s*%?|[+-]?\.\d+", re.IGNORECASE)
SIGN = r"(cny|rmb|usd|eur|gbp|jpy|hkd|twd|us\$|hk\$|nt\$|[$€£¥元円])"
AMOUNT = re.compile(rf"[+-]?\(?({SIGN}\s*[+-]?{NUMBER}|{NUMBER}\s*{SIGN})\)?", re.IGNORECASE)
CENTS = re.compile(r"[+-]?\(?(\d+|\d{1,3}(,\d{3})+)\.\d\d\)?")

MONTH = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
YEAR = r"(19|20|21)\d\d"
DAY = r"(0?[1-9]|[12]\d|3[01])"
MONTH_NUMBER = r"(0?[1-9]|1[0-2])"
DATE = rf"""(
    {YEAR}([-/.])({MONTH_NUMBER}[-/.]{DAY}|{DAY}[-/.]{MONTH_NUMBER})
    | {YEAR}年{MONTH_NUMBER}月{DAY}[日号]
    | {YEAR}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])
    | {DAY}([-/.]){DAY}[-/.]({YEAR}|\d\d)
    | {DAY}[-\s.]+{MONTH}[-\s,.]+({YEAR}|\d\d)
    | {MONTH}[-\s]+{DAY}(st|nd|rd|th)?,?\s+{YEAR}
)"""
TIME = r"""(
    [T\s]\s*(上午|下午)?\s*([01]?\d|2[0-4])([:时][0-5]\d)([:分][0-5]\d秒?)?([.,]\d+)?(\s*[ap]\.?m\.?)?
    \s*(z|utc|gmt|[+-]\d\d(:?\d\d)?)?
)"""
ON_A_DAY = re.compile(DATE, re.VERBOSE | re.IGNORECASE)
AT_A_TIME = re.compile(DATE + TIME, re.VERBOSE | re.IGNORECASE)
AT_MIDNIGHT = re.compile(r".*[T\s]0?0[:时]00([:分]00秒?)?([.,]0+)?", re.IGNORECASE)

EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[^@\s.,;]+")
MOBILE = re.compile(r"(\+?86|0086)?[\s-]*1[3-9]\d([\s-]?[\d*]){8}(\.0)?")
WRITTEN_PHONE = re.compile(r"(\+\d[\d\s().*-]{5,18}|00[1-9][\d\s().*-]{8,18})(\s*(x|ext\.?|转)\s*\d+)?", re.IGNORECASE)
# with one dot alone it may be a coordinate
SPACED_PHONE = re.compile(
    r"(\(?\d{2,4}\)?[\s-]\s*\d{3,4}[\s-]?[\d*]{4}|\d{3}\.\d{3}\.\d{4})(\s*(x|ext\.?|转|-)\s*\d+)?", re.IGNORECASE
)
CODE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-./#:|]*")


def kind_of(cells: list[str]) -> str:
    """The kind (one of KINDS) of a column from a sample of its cells, some hundred of them; blank ones are left out.

    A kind needs nine cells of ten. Of words: category where each comes twice on average (at most 50, none over 40
    characters). Of numbers: id where they begin with 0, have 10 digits or more, or 8 or more without coming again;
    money where a currency sign or two decimals stand in each. 0 with 1 and nothing else is boolean.
    """
    counts = Counter(bare(cell) for cell in cells)
    for blank in [text for text in counts if text.lower() in BLANKS]:
        del counts[blank]
    if not counts:
        return "empty"
    if _share(counts, EMAIL.fullmatch) >= MOST:
        return "email"
    moment = _moment_kind(counts)
    if moment:
        return moment
    if _share(counts, _is_phone) >= MOST:
        return "phone"
    if counts.keys() == {"0", "1"} or _share(counts, lambda text: text.lower() in BOOLEAN_WORDS) >= MOST:
        return "boolean"
    return _number_kind(counts) or _word_kind(counts)


def bare(cell: str) -> str:
    """A cell without what spreadsheets put around it: ="00123", a leading apostrophe or tab, full-width digits, blanks."""
    text = unicodedata.normalize("NFKC", cell).strip()
    if text.startswith('="') and text.endswith('"'):
        text = text[2:-1]
    return text.removeprefix("'").strip()


def _share(counts, test):
    """The share of the cells that pass a test, each distinct text tested once."""
    return sum(count for text, count in counts.items() if test(text)) / counts.total()


def _moment_kind(counts):
    days, times = _share(counts, ON_A_DAY.fullmatch), _share(counts, AT_A_TIME.fullmatch)
    if days + times < MOST:
        return None
    # a day written with 00:00:00 beside it in every cell is a day
    return "timestamp" if times > 0 and _share(counts, AT_MIDNIGHT.fullmatch) != times else "date"


def _is_phone(text):
    digits = sum(character.isdigit() or character == "*" for character in text)
    if not 7 <= digits <= 18:
        return False
    return any(shape.fullmatch(text) for shape in (MOBILE, WRITTEN_PHONE, SPACED_PHONE))


def _number_kind(counts):
    if _share(counts, INTEGER.fullmatch) >= MOST:
        return "id" if _are_key_numbers(counts) else "integer"
    if _share(counts, CENTS.fullmatch) >= MOST:
        return "money"
    numbers = _share(counts, DECIMAL.fullmatch)
    amounts = _share(counts, AMOUNT.fullmatch)
    if numbers + amounts < MOST:
        return None
    return "money" if amounts >= 0.5 else "decimal"


def _are_key_numbers(counts):
    digits = Counter()
    for text, count in counts.items():
        digits[len(text) if text.isdigit() else 0] += count
    if _share(counts, lambda text: len(text) > 1 and text.startswith("0") and text.isdigit()) >= 1 - MOST:
        return True
    if sum(count for length, count in digits.items() if length >= MIN_ID_DIGITS) >= MOST * counts.total():
        return True
    length, most = digits.most_common(1)[0]
    return (
        length >= MIN_KEY_DIGITS
        and counts.total() > 1
        and most >= MOST * counts.total()
        and len(counts) >= MOST * counts.total()
    )


def _word_kind(counts):
    longest = max(len(text) for text in counts)
    comes_again = 2 * len(counts) <= counts.total()
    if comes_again and len(counts) <= MAX_CATEGORIES and longest <= MAX_CATEGORY_LENGTH:
        return "category"

    def is_code(text):
        return CODE.fullmatch(text) and any(character.isdigit() for character in text)

    return "id" if _share(counts, is_code) >= MOST else "text"
