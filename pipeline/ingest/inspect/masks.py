"""Cells as shapes: what a person may see of an export without seeing whom it is about."""

import re

from pipeline.ingest.inspect.words import concepts_of
from pipeline.ingest.kinds import bare

# a header with one of these may hold somebody's name, number, place or words
PERSONAL_CONCEPTS = {
    *(
        "customer",
        "person",
        "contact",
        "recipient",
        "name",
        "surname",
        "given",
        "nickname",
        "account",
        "staff",
        "owner",
    ),
    *(
        "email",
        "phone",
        "fax",
        "wechat",
        "social",
        "address",
        "postal",
        "nationalid",
        "birth",
        "company",
        "refer",
        "id",
    ),
    *("note", "body", "title", "bank", "invoice_title", "evidence", "district", "feedback", "domain", "registration"),
}
# said beside a personal word, the column holds a property, not the person: Customer Gender, 会员等级
PROPERTIES = {
    *(
        "gender",
        "tier",
        "kind",
        "status",
        "source",
        "channel",
        "category",
        "marital",
        "education",
        "industry",
        "age",
        "ageband",
    ),
    *(
        "count",
        "points",
        "country",
        "province",
        "city",
        "time",
        "amount",
        "total",
        "income",
        "occupation",
        "group",
        "rating",
    ),
    *(
        "satisfaction",
        "optin",
        "optout",
        "marketing",
        "flag",
        "method",
        "priority",
        "reply",
        "reopen",
        "plan",
        "purpose",
    ),
}
IDENTIFYING = {
    "name",
    "surname",
    "given",
    "nickname",
    "email",
    "phone",
    "nationalid",
    "address",
    "id",
    "birth",
    "company",
}
MAX_WORD_LENGTH = 40
DIGIT_RUN = re.compile(r"\d{4}")
PERSON_NAME = re.compile(r"[A-Z][a-z'’-]+( [A-Z]\.?)?( [A-Z][a-z'’-]+){1,2}")
# in any case: a name only where none of its words is one of exports (credit card, in progress)
WORDS_LIKE_A_NAME = re.compile(r"[^\W\d_]['’\w-]+( [^\W\d_]\.?)?( [^\W\d_]['’\w-]+){1,2}")
CHINESE_ADDRESS = re.compile(
    r"[路街道巷弄村里同][^\d]{0,4}[\d一二三四五六七八九十百零]+\s*(号|弄|幢|栋|室|-|$)"
    r"|[\d一二三四五六七八九十百零]+\s*(号楼|幢|栋|单元|室|弄)"
)
STREET = "street|st|road|rd|avenue|ave|lane|ln|drive|dr|close|court|ct|way|place|pl|square|sq|boulevard|blvd|terrace|crescent|row"
ADDRESS = re.compile(
    rf"\d+\w?,?\s+([\w.'’-]+\s+){{0,3}}({STREET})\b.*|[\w.' -]+(str\.|stra(ß|ss)e|weg|platz|gasse|allee)\s*\d+.*",
    re.IGNORECASE,
)
# the hundred or so commonest: four Chinese in five bear one of them
SURNAMES = set(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石"
    "贾韦夏付方邹熊白孟秦邱侯江尹薛闫雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常"
)
DOUBLE_SURNAMES = ("欧阳", "司马", "上官", "诸葛", "司徒", "东方", "皇甫", "尉迟", "公孙", "慕容", "令狐", "夏侯")


def may_be_personal(header: str) -> bool:
    """Whether a column's name says that it may hold personal data, when its contract column does not."""
    concepts = set(concepts_of(header))
    return bool(concepts & IDENTIFYING or (concepts & PERSONAL_CONCEPTS and not concepts & PROPERTIES))


def are_harmless_words(words: list[str], is_known: bool = True) -> bool:
    """Whether the words of a column may be shown: short, without @ and long numbers, no address, and hardly any like a name.

    is_known: the column is mapped to one of no personal kind; of any other, names in any case are looked for.
    """
    named = sum(is_like_a_name(word, not is_known) for word in words)
    return all(is_harmless_word(word) for word in words) and 2 * named < max(len(words), 2)


def is_harmless_word(word: str) -> bool:
    """At most 40 characters, no @, no four digits in a row, no street with a number."""
    return (
        len(word) <= MAX_WORD_LENGTH and "@" not in word and not DIGIT_RUN.search(word) and not is_like_an_address(word)
    )


def is_like_a_name(word: str, in_any_case: bool = False) -> bool:
    """Whether a cell is like a person's name: a Chinese one of a common surname, or two or three capitalised words.

    in_any_case: also words in lower or upper case (bob lee), none of which is known from exports.
    """
    text = bare(word)
    if 2 <= len(text) <= 4 and all("\u4e00" <= character <= "\u9fff" for character in text):
        return text.startswith(DOUBLE_SURNAMES) or (len(text) <= 3 and text[0] in SURNAMES)
    if PERSON_NAME.fullmatch(text):
        return True
    is_alike = in_any_case and WORDS_LIKE_A_NAME.fullmatch(text)
    return bool(is_alike) and all(concept.startswith("?") for part in text.split() for concept in _spoken(part))


def _spoken(word):
    """The concepts of one word, itself as known where it is one to pass over (in, of)."""
    return concepts_of(word) or ("",)


def is_like_an_address(word: str) -> bool:
    """Whether a cell is a street with the number of a house, or a house with that of a room."""
    text = bare(word)
    return bool(CHINESE_ADDRESS.search(text) or ADDRESS.fullmatch(text))


def mask(cell: str, kind: str) -> str:
    """The shape of a cell: 张**, 138******00, a***@e***.com, 9999-AAAAA, or how long a text is."""
    text = bare(cell)
    if kind == "email" and text.count("@") == 1:
        local, domain = text.split("@")
        return f"{local[:1]}***@{domain[:1]}***.{domain.rpartition('.')[2]}"
    digits = [character for character in text if character.isdigit() or character == "*"]
    if kind == "phone" and len(digits) >= 7:
        return "".join(digits[:3]) + "*" * (len(digits) - 5) + "".join(digits[-2:])
    if any(character.isdigit() for character in text) and len(text) <= 40 and " " not in text:
        return "".join(
            "9" if one.isdigit() else "文" if ord(one) > 127 else "A" if one.isalpha() else one for one in text
        )
    if len(text) > 20:
        return f"({len(text)})"
    return " ".join(f"{word[:1]}**" for word in text.split()[:3])
