"""Audiences: named lists of customers, as conditions over the joined row and the tags that hold.

An audience file holds `audiences`, a list of:

    code: second_order
    name: {en: ..., zh: ...}
    meaning: {en: ..., zh: ...}
    purpose: marketing
    channel: email            # email | sms | call | post | social | any
    where: facts.recency_days <= 60 and has_tag('lifecycle', 'new')     # has_tag('tag') for any of its values
    reasons: [lifecycle]      # tags whose values are written beside each customer; may be empty
"""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.tags.expressions import (
    code_of,
    expression_fault,
    joined_row,
    parser_connection,
    quote_text,
    read_yaml_folder,
    relations_used,
)

AUDIENCE_FOLDER = Path(__file__).parent / "audiences"
CHANNELS = ("email", "sms", "call", "post", "social", "any")
FIELDS = {"code", "name", "meaning", "purpose", "channel", "where", "reasons"}
CODE = re.compile(r"[a-z][a-z0-9_]*")
HAS_TAG = re.compile(r"\bhas_tag\s*\(\s*'([^']*)'\s*(?:,\s*'([^']*)'\s*)?\)")


class AudienceError(ValueError):
    """An audience file cannot be used; says file, audience, field and the mend."""


@dataclass(frozen=True)
class Audience:
    """One audience, ready to run.

    query: SQL giving customer_id, is_marketing_allowed (on the audience's channel; never null) and, where that is false,
    excluded_by (consent, unreachable or limit) of all who match.
    tags_used: the (tag, value) pairs it relies on, value None for any.
    """

    code: str
    name: str
    name_zh: str
    meaning: str
    meaning_zh: str
    purpose: str
    channel: str
    where: str
    query: str
    reasons: tuple[str, ...]
    tags_used: tuple[tuple[str, str | None], ...]
    file_name: str


def load_audiences(*folders):
    """Read audience files into a tuple of Audience, ordered by code; a later folder's code replaces an earlier one's.

    Raises AudienceError. Whether columns and tags exist is known when the audience is run.
    """
    audiences = {}
    with parser_connection() as con:
        for folder in folders:
            here = {}
            for path, content in read_yaml_folder(folder, AudienceError):
                if set(content) != {"audiences"} or not isinstance(content["audiences"], list):
                    raise AudienceError(
                        f"{path.name}: expected one field, audiences, with a list; see the shipped file"
                    )
                for raw in content["audiences"]:
                    audience = _read_audience(con, path, raw)
                    if audience.code in here:
                        raise AudienceError(f"{path.name}, audience {audience.code}, code: stands twice; rename one")
                    here[audience.code] = audience
            audiences |= here
    return tuple(audiences[code] for code in sorted(audiences))


def _read_audience(con, path, raw):
    where = f"{path.name}, audience {code_of(raw)}"
    if not isinstance(raw, dict):
        raise AudienceError(f"{where}: expected a mapping with {', '.join(sorted(FIELDS))}")
    wrong = sorted(map(str, set(raw) ^ FIELDS))
    if wrong:
        state = "unknown field" if wrong[0] in raw else "missing"
        raise AudienceError(f"{where}, {wrong[0]}: {state}; an audience has {', '.join(sorted(FIELDS))}")
    if not isinstance(raw["code"], str) or not CODE.fullmatch(raw["code"]):
        raise AudienceError(f"{where}, code: use small letters, digits and _; it is also the file name")
    for field in ("name", "meaning"):
        texts = raw[field]
        if not isinstance(texts, dict) or set(texts) != {"en", "zh"} or not all(map(_is_text, texts.values())):
            raise AudienceError(f"{where}, {field}: expected {{en: ..., zh: ...}} with both texts filled")
    if raw["purpose"] != "marketing":
        raise AudienceError(f"{where}, purpose: {raw['purpose']!r} is not known; write marketing")
    if raw["channel"] not in CHANNELS:
        raise AudienceError(f"{where}, channel: {raw['channel']!r} is none; use one of {', '.join(CHANNELS)}")
    if not isinstance(raw["reasons"], list) or not all(map(_is_text, raw["reasons"])):
        raise AudienceError(f"{where}, reasons: expected a list of tag codes, [] for none")
    condition = HAS_TAG.sub(_tag_condition, raw["where"]) if _is_text(raw["where"]) else raw["where"]
    if _is_text(condition) and re.search(r"\bhas_tag\b", condition):
        fault = "uses has_tag other than as has_tag('tag') or has_tag('tag', 'value'); correct it"
    else:
        fault = expression_fault(con, condition)
    if fault:
        raise AudienceError(f"{where}, where: {fault}")
    used = [(match[0], match[1] or None) for match in HAS_TAG.findall(raw["where"])]
    return Audience(
        code=raw["code"],
        name=raw["name"]["en"],
        name_zh=raw["name"]["zh"],
        meaning=raw["meaning"]["en"],
        meaning_zh=raw["meaning"]["zh"],
        purpose=raw["purpose"],
        channel=raw["channel"],
        where=raw["where"],
        query=_matching_customers(condition, raw["channel"]),
        reasons=tuple(raw["reasons"]),
        tags_used=tuple(dict.fromkeys([*used, *((tag, None) for tag in raw["reasons"])])),
        file_name=path.name,
    )


def _is_text(value):
    return isinstance(value, str) and bool(value.strip())


def _tag_condition(match):
    """has_tag as a semi join that may stand anywhere in a condition."""
    value = f" and held.value = {quote_text(match[2])}" if match[2] else ""
    tag = quote_text(match[1])
    return (
        f"facts.customer_id in (select held.customer_id from tags.customer_tags as held where held.tag = {tag}{value})"
    )


def _matching_customers(condition, channel):
    """Whoever matches, and whether marts.contactability lets them be addressed; for any, whether on some channel."""
    of_channel = "" if channel == "any" else f" and reach.channel = {quote_text(channel)}"
    return f"""
        select
            matched.customer_id,
            coalesce(bool_or(reach.is_allowed), false) as is_marketing_allowed,
            case
                when bool_or(reach.is_allowed) then null
                when bool_or(reach.reason = 'contact_limit') then 'limit'
                when bool_or(reach.reason in ('no_address', 'bounced')) then 'unreachable'
                else 'consent'
            end as excluded_by
        from (
            select facts.customer_id
            from {joined_row(relations_used(condition))}
            where ({condition})
        ) as matched
        left join marts.contactability as reach
            on matched.customer_id = reach.customer_id and reach.purpose = 'marketing'{of_channel}
        group by matched.customer_id"""
