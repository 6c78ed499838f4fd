"""What spreadsheets and export tools put around a value, taken off in SQL; the plain cell pays for none of it."""

import unicodedata

from pipeline.warehouse import literal

# tab, line ends, no-break and other wide blanks, byte order mark
BLANKS = "".join(map(chr, (9, 10, 13, 32, 0xA0, *range(0x2000, 0x200C), 0x202F, 0x205F, 0x3000, 0xFEFF)))
WIDE = "".join(map(chr, range(0xFF01, 0xFF5F))) + "￥　\u00a0−–"
ANY_WIDE = "[！-～￥　\u00a0−–]"
NARROW = unicodedata.normalize("NFKC", WIDE[:94]) + "¥  --"


def trimmed(cell: str) -> str:
    """SQL for a cell's text without blanks around it, and without what marks a value as text: ="0123", '0123. Blank: null."""
    # a comparison with the first characters is the cheapest look at a text; a blank comes before all of them
    is_marked = f"({cell} < '(' or starts_with({cell}, '=')) and (contains({cell}, '''') or contains({cell}, '=\"'))"
    return (
        f"nullif(case when {cell} = '' then null when {is_marked} then {_unmarked(cell)}"
        f" when {cell} < '(' or strlen({cell}) <> length({cell}) or contains({cell}, chr(9)) or contains({cell}, chr(10))"
        f" then trim({cell}, {literal(BLANKS)})"
        f" else rtrim({cell}) end, '')"
    )


def free_text(cell: str) -> str:
    """SQL for a free text as it stands, but for one that is ="..." as a whole. Blank: null."""
    return f"nullif(case when starts_with({cell}, '=\"') then {_quoted(cell)} else {cell} end, '')"


def plain_or(plain: str, careful: str) -> str:
    """SQL for the plain reading of a cell, where that is null the careful one.

    A case, not coalesce: parts that the careful reading repeats would be worked out beforehand for every cell.
    """
    return f"case when {plain} is not null then {plain} else {careful} end"


def narrow(cell: str) -> str:
    """SQL for a text with full-width digits, letters and marks as the usual ones."""
    # translate makes its table anew for every text
    is_wide = f"regexp_matches({cell}, {literal(ANY_WIDE)})"
    return f"case when {is_wide} then translate({cell}, {literal(WIDE)}, {literal(NARROW)}) else {cell} end"


def _unmarked(cell):
    blanks = literal(BLANKS)
    # an apostrophe before a letter is part of a name, such as 's-Hertogenbosch
    marked = f"regexp_replace({_quoted(f'trim({cell}, {blanks})')}, '^''([0-9+=@-])', '\\1')"
    return f"trim({marked}, {blanks})"


def _quoted(text):
    return f"regexp_replace({text}, '^=\"([^\"]*)\"$', '\\1')"
