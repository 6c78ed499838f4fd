"""Names of people in SQL: without titles, whole names from their parts, and the parts of a Chinese whole name."""

from pipeline.ingest.cells import BLANKS, narrow
from pipeline.warehouse import literal

COLUMNS = ("name", "surname", "given_name")
TITLES_BEFORE = r"(?i)^(?:mr|mrs|ms|miss|mx|dr|prof|herr|frau)\.?\s+"
TITLES_AFTER = r"\s*(?:先生|女士|小姐)$"
_COMPOUND = (
    "欧阳 司马 上官 诸葛 东方 皇甫 尉迟 公孙 令狐 慕容 司徒 夏侯 长孙 宇文 端木 独孤 南宫 轩辕 闻人 呼延 澹台 公冶 宗政 濮阳 "
    "太史 申屠 钟离 鲜于 闾丘 亓官 司寇 颛孙 巫马 公西 漆雕 乐正 壤驷 拓跋 谷梁 百里 东郭 南门 羊舌 梁丘 左丘 西门 歐陽 司馬 諸葛 東方"
)
COMPOUND_SURNAMES = tuple(_COMPOUND.split())


def name_sql(cell: str) -> str:
    """SQL for a name as written, in usual letters, without blanks around it and without a title."""
    bare = f"trim({narrow(cell)}, {literal(BLANKS)})"
    # whoever is called by a title alone keeps it
    return (
        f"coalesce(nullif(regexp_replace(regexp_replace({bare}, {literal(TITLES_BEFORE)}, ''),"
        f" {literal(TITLES_AFTER)}, ''), ''), nullif({bare}, ''))"
    )


def whole_name_sql(surname: str, given_name: str) -> str:
    """SQL for the whole name: Chinese characters surname first and without a blank, any other given name first."""
    is_han = rf"regexp_full_match(concat({surname}, {given_name}), '\p{{Han}}+')"
    return (
        f"case when {is_han} then concat({surname}, {given_name})"
        f" else nullif(concat_ws(' ', {given_name}, {surname}), '') end"
    )


def joined_sql(name: str) -> str:
    """SQL for a whole name in which no blank parts a Chinese surname from the given name: 王 小明 is 王小明."""
    surname = rf"\p{{Han}}|{'|'.join(COMPOUND_SURNAMES)}"
    return rf"regexp_replace({name}, '^({surname}) +(\p{{Han}}{{1,3}})$', '\1\2')"


def settled_names(told: dict[str, str]) -> dict[str, str]:
    """SQL for name, surname and given_name from those that a file tells; what a row lacks of them comes from the others.

    A Chinese whole name that is its parts in the other order, or with a blank between them, is what the parts make.
    """
    name, surname, given_name = (told.get(column, "null") for column in COLUMNS)
    if not told or set(told) == {"surname"} or set(told) == {"given_name"}:
        return told
    settled = dict(told)
    if name == "null":
        settled["name"] = whole_name_sql(surname, given_name)
        return settled
    if len(told) > 1:
        both = f"{surname} is not null and {given_name} is not null"
        bare = f"replace({name}, ' ', '') in (concat({surname}, {given_name}), concat({given_name}, {surname}))"
        is_han = rf"regexp_full_match({name}, '[\p{{Han}} ]+')"
        whole = whole_name_sql(surname, given_name)
        settled["name"] = f"case when {name} is null or {both} and {bare} and {is_han} then {whole} else {name} end"
    for column, part in zip(COLUMNS[1:], parts_sql(name), strict=True):
        lacks = f"coalesce({surname}, {given_name}) is null"
        settled[column] = (
            part if len(told) == 1 else f"case when {lacks} then {part} else {told.get(column, 'null')} end"
        )
    return settled


def parts_sql(name: str) -> tuple[str, str]:
    """SQL for surname and given name of a Chinese name of two to four characters; null where they cannot be told apart."""
    compound = f"{name}[1:2] in ({', '.join(map(literal, COMPOUND_SURNAMES))})"

    def part(of_compound, of_single):
        return (
            rf"case when not regexp_full_match({name}, '\p{{Han}}{{2,4}}') then null"
            f" when {compound} then case when length({name}) > 2 then {of_compound} end"
            f" when length({name}) < 4 then {of_single} end"
        )

    return part(f"{name}[1:2]", f"{name}[1:1]"), part(f"{name}[3:]", f"{name}[2:]")
