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
# the hundred or so commonest: four Chinese in five bear one of them
SURNAMES = set(
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢姚沈钟姜崔谭陆范汪廖石"
    "贾韦夏付方邹熊白孟秦邱侯江尹薛闫雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常"
)


def may_be_personal(header: str) -> bool:
    """Whether a column's name says that it may hold personal data, when its contract column does not."""
    concepts = set(concepts_of(header))
    return bool(concepts & IDENTIFYING or (concepts & PERSONAL_CONCEPTS and not concepts & PROPERTIES))


def are_harmless_words(words: list[str]) -> bool:
    """Whether the words of a column may be shown: short, without @ and long numbers, and hardly any like a person's name."""
    named = sum(_is_like_a_name(word) for word in words)
    return all(is_harmless_word(word) for word in words) and 2 * named < max(len(words), 2)


def is_harmless_word(word: str) -> bool:
    """At most 40 characters, no @, no four digits in a row."""
    return len(word) <= MAX_WORD_LENGTH and "@" not in word and not DIGIT_RUN.search(word)


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


def _is_like_a_name(word):
    if 2 <= len(word) <= 3 and word[0] in SURNAMES:
        return all("\u4e00" <= character <= "\u9fff" for character in word)
    return bool(PERSON_NAME.fullmatch(word))
