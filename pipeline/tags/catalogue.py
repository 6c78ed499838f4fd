"""The tag catalogue: one YAML file per category, checked, as plain frozen records.

A tag file:

    category: purchase
    level: customer                   # optional: customer or company; company tags read company.x instead of facts.x
    tags:
      - code: price_sensitivity
        name: {en: Price sensitivity, zh: 价格敏感度}
        meaning: {en: ..., zh: ...}
        kind: rule                    # fact | rule | model | manual; model tags need the customer's leave to profile
        rule_version: 1
        multi_valued: false           # optional; true: every value that holds, else the first that holds
        confidence: 1                 # optional, 0..1: a number or an SQL expression; default 1
        evidence: format('discount share {:.2f}', facts.discount_share)       # optional SQL text
        evidence_zh: format('优惠占比 {:.2f}', facts.discount_share)          # optional: for Chinese audience files
        values:
          - code: price_sensitive
            name: {en: Price sensitive, zh: 价格敏感型}
            when: facts.discount_share >= 0.2      # optional here: confidence, evidence, evidence_zh, meaning {en, zh}

An open-valued tag has `value_from` (SQL text, or several when multi-valued) in place of conditions; its `values` then
only name the codes that are known beforehand, and `value_name_from: {en: SQL, zh: SQL}` may name the others.
A condition that comes out NULL does not hold: an unknown number gives no tag.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.tags.expressions import ROWS, code_of, expression_fault, parser_connection, read_yaml_folder

CATALOGUE_FOLDER = Path(__file__).parent / "catalogue"
CATEGORIES = (
    "profile",
    "purchase",
    "interest",
    "value",
    "satisfaction",
    "interaction",
    "loyalty",
    "prediction",
    "segment",
    "account",
)
KINDS = ("fact", "rule", "model", "manual")
CODE = re.compile(r"[a-z][a-z0-9_]*")
TAG_FIELDS = {
    "code",
    "name",
    "meaning",
    "kind",
    "rule_version",
    "multi_valued",
    "confidence",
    "evidence",
    "evidence_zh",
    "values",
}
TAG_FIELDS |= {"value_from", "value_name_from"}
VALUE_FIELDS = {"code", "name", "meaning", "when", "confidence", "evidence", "evidence_zh"}


class CatalogueError(ValueError):
    """A tag file cannot be used; says file, tag, field and the mend."""


@dataclass(frozen=True)
class Value:
    """One value of a tag. `when` is SQL, or None where the tag is open-valued; confidence and evidence are SQL."""

    code: str
    name: str
    name_zh: str
    meaning: str | None
    meaning_zh: str | None
    when: str | None
    confidence: str
    evidence: str
    evidence_zh: str


@dataclass(frozen=True)
class Tag:
    """One tag. value_from is empty for a tag of conditions; confidence and evidence are SQL expressions."""

    code: str
    category: str
    level: str
    name: str
    name_zh: str
    meaning: str
    meaning_zh: str
    kind: str
    rule_version: str
    is_multi_valued: bool
    confidence: str
    evidence: str
    evidence_zh: str
    values: tuple[Value, ...]
    value_from: tuple[str, ...]
    value_name_from: tuple[str, str] | None
    file_name: str

    @property
    def rule(self):
        """The rule as one readable text: what is tagged, when."""
        if self.value_from:
            return "value: " + " | ".join(self.value_from)
        return "; ".join(f"{value.code}: {' '.join(value.when.split())}" for value in self.values)


@dataclass(frozen=True)
class Catalogue:
    """All tags, ordered by category (as CATEGORIES) and then as written, own files' additions last."""

    tags: tuple[Tag, ...]

    def value_names(self, column):
        """{code: (English, Chinese)} of the values of a column of customer facts that is a tag as it stands; empty for no tag."""
        return next(
            (
                {value.code: (value.name, value.name_zh) for value in tag.values}
                for tag in self.tags
                if tag.level == "customer" and tag.value_from == (f"facts.{column}",)
            ),
            {},
        )


def load_catalogue(*folders):
    """Read tag files from folders into one Catalogue.

    folders: paths; the first is usually CATALOGUE_FOLDER, the user's `data/tags` after it. A tag code met again in a later
    folder replaces the earlier tag whole. Raises CatalogueError, and when no folder holds a tag.
    """
    tags = {}
    with parser_connection() as con:
        for folder in folders:
            here = {}
            for path, content in read_yaml_folder(folder, CatalogueError):
                for tag in _read_file(con, path, content):
                    if tag.code in here:
                        raise CatalogueError(
                            f"{path.name}, tag {tag.code}, code: already in {here[tag.code].file_name}; rename one of them"
                        )
                    here[tag.code] = tag
            tags |= here
    if not tags:
        raise CatalogueError(f"no tag found in {', '.join(map(str, folders))}; add a tag file or name another folder")
    return Catalogue(tuple(sorted(tags.values(), key=lambda tag: CATEGORIES.index(tag.category))))


def _read_file(con, path, content):
    unknown = sorted(map(str, set(content) - {"category", "level", "tags"}))
    if unknown:
        raise CatalogueError(f"{path.name}: unknown field {unknown[0]}; a tag file has category, level and tags")
    level = content.get("level", "customer")
    if level not in ROWS:
        raise CatalogueError(f"{path.name}, level: {level!r} is none; use one of {', '.join(ROWS)}")
    if content.get("category") not in CATEGORIES:
        raise CatalogueError(
            f"{path.name}, category: {content.get('category')!r} is none; use one of {', '.join(CATEGORIES)}"
        )
    if not isinstance(content.get("tags"), list) or not content["tags"]:
        raise CatalogueError(f"{path.name}, tags: expected a list of tags; see the shipped catalogue")
    return [_read_tag(con, path, content["category"], level, raw) for raw in content["tags"]]


def _read_tag(con, path, category, level, raw):
    where = f"{path.name}, tag {code_of(raw)}"
    _check_fields(raw, TAG_FIELDS, where)
    kind = raw.get("kind")
    if kind not in KINDS:
        raise CatalogueError(f"{where}, kind: {kind!r} is none; use one of {', '.join(KINDS)}")
    if isinstance(raw.get("rule_version"), bool) or not isinstance(raw.get("rule_version"), int | str):
        raise CatalogueError(f"{where}, rule_version: missing; write 1, and count up when the rule changes")
    if kind == "model" and level == "company":
        raise CatalogueError(
            f"{where}, kind: model tags need a person's leave to profile; a company's tag is no model's"
        )
    is_multi_valued = raw.get("multi_valued", False)
    if not isinstance(is_multi_valued, bool):
        raise CatalogueError(f"{where}, multi_valued: {is_multi_valued!r} is neither true nor false")
    confidence = _expression(con, level, str(raw.get("confidence", 1)), f"{where}, confidence")
    evidence = _expression(con, level, raw.get("evidence", "null"), f"{where}, evidence")
    evidence_zh = (
        _expression(con, level, raw["evidence_zh"], f"{where}, evidence_zh") if "evidence_zh" in raw else evidence
    )
    value_from = _read_value_from(con, level, raw, is_multi_valued, where)
    values = tuple(
        _read_value(con, level, value, bool(value_from), confidence, (evidence, evidence_zh), where)
        for value in _value_list(raw, where)
    )
    if not value_from and not values:
        raise CatalogueError(f"{where}, values: none; give values with `when`, or a `value_from` expression")
    codes = [value.code for value in values]
    doubled = sorted({code for code in codes if codes.count(code) > 1})
    if doubled:
        raise CatalogueError(f"{where}, values: {doubled[0]} stands twice; rename or remove one")
    name, name_zh = _both_languages(raw, "name", where)
    meaning, meaning_zh = _both_languages(raw, "meaning", where)
    return Tag(
        code=_code(raw, where),
        category=category,
        level=level,
        name=name,
        name_zh=name_zh,
        meaning=meaning,
        meaning_zh=meaning_zh,
        kind=kind,
        rule_version=str(raw["rule_version"]),
        is_multi_valued=is_multi_valued,
        confidence=confidence,
        evidence=evidence,
        evidence_zh=evidence_zh,
        values=values,
        value_from=value_from,
        value_name_from=_read_value_names(con, level, raw, value_from, where),
        file_name=path.name,
    )


def _read_value(con, level, raw, is_open, confidence, evidence, where):
    where = f"{where}, value {code_of(raw)}"
    _check_fields(raw, VALUE_FIELDS, where)
    name, name_zh = _both_languages(raw, "name", where)
    meaning, meaning_zh = _both_languages(raw, "meaning", where) if "meaning" in raw else (None, None)
    if is_open:
        code, when = str(raw.get("code") or ""), None
        excess = sorted({"when", "confidence", "evidence", "evidence_zh"} & set(raw))
        if not code or excess:
            raise CatalogueError(
                f"{where}, {excess[0] if excess else 'code'}: with value_from a value has only code, name, meaning"
            )
    else:
        code = _code(raw, where)
        when = _expression(con, level, raw.get("when"), f"{where}, when", needs_column=True)
    if "confidence" in raw:
        confidence = _expression(con, level, str(raw["confidence"]), f"{where}, confidence")
    if "evidence" in raw:
        evidence = (_expression(con, level, raw["evidence"], f"{where}, evidence"),) * 2
    if "evidence_zh" in raw:
        evidence = (evidence[0], _expression(con, level, raw["evidence_zh"], f"{where}, evidence_zh"))
    return Value(code, name, name_zh, meaning, meaning_zh, when, confidence, *evidence)


def _read_value_from(con, level, raw, is_multi_valued, where):
    if "value_from" not in raw:
        return ()
    sources = raw["value_from"] if isinstance(raw["value_from"], list) else [raw["value_from"]]
    if len(sources) != 1 and not is_multi_valued:
        raise CatalogueError(f"{where}, value_from: a single-valued tag takes one expression; set multi_valued: true")
    return tuple(_expression(con, level, source, f"{where}, value_from", needs_column=True) for source in sources)


def _read_value_names(con, level, raw, value_from, where):
    if "value_name_from" not in raw:
        return None
    if len(value_from) != 1:
        raise CatalogueError(f"{where}, value_name_from: goes with exactly one value_from expression; remove it")
    names = _both_languages(raw, "value_name_from", where)
    return tuple(_expression(con, level, name, f"{where}, value_name_from", needs_column=True) for name in names)


def _value_list(raw, where):
    values = raw.get("values", [])
    if not isinstance(values, list):
        raise CatalogueError(f"{where}, values: expected a list of values with code and name")
    return values


def _check_fields(raw, known, where):
    if not isinstance(raw, dict):
        raise CatalogueError(f"{where}: expected a mapping with {', '.join(sorted(known))}")
    unknown = sorted(map(str, set(raw) - known))
    if unknown:
        raise CatalogueError(f"{where}, {unknown[0]}: unknown field; known are {', '.join(sorted(known))}")


def _code(raw, where):
    code = raw.get("code")
    if not isinstance(code, str) or not CODE.fullmatch(code):
        raise CatalogueError(
            f"{where}, code: {code!r} is no code; use small letters, digits and _ and start with a letter"
            " (quote words that YAML reads as true or false, such as 'yes')"
        )
    return code


def _both_languages(raw, field, where):
    texts = raw.get(field)
    if (
        not isinstance(texts, dict)
        or set(texts) != {"en", "zh"}
        or not all(isinstance(text, str) and text.strip() for text in texts.values())
    ):
        raise CatalogueError(f"{where}, {field}: expected {{en: ..., zh: ...}} with both texts filled")
    return texts["en"].strip(), texts["zh"].strip()


def _expression(con, level, expression, where, needs_column=False):
    fault = expression_fault(con, expression, needs_column, level)
    if fault:
        raise CatalogueError(f"{where}: {fault}")
    return expression.strip()
