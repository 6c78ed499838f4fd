"""The tables of tags: their columns and meanings, made empty, and the catalogue written into them."""

from pipeline.tags.expressions import quote_text

COLUMNS = {
    "catalogue": {
        "tag": ("varchar", "stable code of the tag; key"),
        "category": ("varchar", "one of the categories"),
        "level": ("varchar", "customer or company: who carries the tag"),
        "name": ("varchar", "English name"),
        "name_zh": ("varchar", "Chinese name"),
        "meaning": ("varchar", "what the tag says, in English"),
        "meaning_zh": ("varchar", "what the tag says, in Chinese"),
        "rule": ("varchar", "the rule as written in the catalogue"),
        "kind": ("varchar", "fact, rule, model or manual"),
        "is_multi_valued": ("boolean", "whether a customer may carry several values"),
        "is_open_valued": ("boolean", "whether values come from the data rather than from a list"),
        "rule_version": ("varchar", "version of the rule"),
        "position": ("integer", "order of the tags for display"),
    },
    "catalogue_values": {
        "tag": ("varchar", "code of the tag; key with value"),
        "value": ("varchar", "stable code of the value"),
        "name": ("varchar", "English name"),
        "name_zh": ("varchar", "Chinese name"),
        "meaning": ("varchar", "what the value says, in English, or its rule"),
        "meaning_zh": ("varchar", "what the value says, in Chinese, or its rule"),
        "position": ("integer", "order of the values within the tag"),
    },
    "tag_migrations": {
        "as_of": ("date", "the night that is compared with an earlier one"),
        "tag": ("varchar", "code of the tag; part of the key"),
        "period": ("varchar", "last_night, 30_days or 90_days; part of the key"),
        "compared_on": ("date", "the earlier night"),
        "from_value": ("varchar", "value carried then; null: none"),
        "to_value": ("varchar", "value carried now; null: none"),
        "change": ("varchar", "stayed, moved, new, left or merged"),
        "customer_count": ("bigint", "customers"),
        "from_share": ("double", "share of all who carried from_value then, 0..1"),
    },
}


def _carried(level):
    """Columns of the tags that hold, and of their intervals, of customers or of companies."""
    key = {f"{level}_id": ("varchar", f"{level}; part of the key")}
    held = key | {
        "as_of": ("date", "the night the tag holds at"),
        "category": ("varchar", "category of the tag"),
        "tag": ("varchar", "code of the tag"),
        "value": ("varchar", "code of the value"),
        "value_name": ("varchar", "English name of the value"),
        "value_name_zh": ("varchar", "Chinese name of the value"),
        "confidence": ("double", "0..1: 1 for facts, a probability for models"),
        "rule_version": ("varchar", "version of the rule that gave the tag"),
        "evidence": ("varchar", "the numbers behind the tag"),
        "valid_from": ("date", "first night of the interval that still holds"),
    }
    history = key | {
        "category": ("varchar", "category of the tag"),
        "tag": ("varchar", "code of the tag"),
        "value": ("varchar", "code of the value"),
        "valid_from": ("date", "first night the tag held"),
        "valid_to": ("date", "first night it no longer held; null while it holds: [valid_from, valid_to)"),
    }
    return held, history


# level -> the table of tags that hold, that of their intervals
CARRIED = {"customer": ("customer_tags", "tag_history"), "company": ("company_tags", "company_tag_history")}
for _level, _tables in CARRIED.items():
    COLUMNS |= dict(zip(_tables, _carried(_level), strict=True))
TABLE_MEANINGS = {
    "catalogue": "One row per tag. Key: tag.",
    "catalogue_values": "One row per value a tag can take or, for open-valued tags, took. Key: (tag, value).",
    "tag_migrations": "One row per tag, period, value then and value now. Key: (tag, period, from_value, to_value, change).",
    "customer_tags": "One row per customer, tag and value that holds at as_of. Key: (customer_id, tag, value).",
    "tag_history": "One row per interval in which a customer carried a tag value. Key: (customer_id, tag, value, valid_from).",
    "company_tags": "One row per company, tag and value that holds at as_of. Key: (company_id, tag, value).",
    "company_tag_history": "One row per interval in which a company carried a tag value."
    " Key: (company_id, tag, value, valid_from).",
}


def create_tables(con):
    """Every table of tags, empty, in place of what stood there."""
    con.execute("create schema if not exists tags")
    for table, columns in COLUMNS.items():
        body = ", ".join(f'"{name}" {kind}' for name, (kind, _) in columns.items())
        con.execute(f"create or replace table tags.{table} ({body})")
        con.execute(f"comment on table tags.{table} is {quote_text(TABLE_MEANINGS[table])}")
        for name, (_, meaning) in columns.items():
            con.execute(f'comment on column tags.{table}."{name}" is {quote_text(meaning)}')


def write_catalogue(con, catalogue):
    """tags.catalogue, and in catalogue_values the values that rules name."""
    con.executemany(
        "insert into tags.catalogue values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (tag.code, tag.category, tag.level, tag.name, tag.name_zh, tag.meaning, tag.meaning_zh, tag.rule, tag.kind)
            + (tag.is_multi_valued, bool(tag.value_from), tag.rule_version, position)
            for position, tag in enumerate(catalogue.tags)
        ],
    )
    values = [
        (
            tag.code,
            value.code,
            value.name,
            value.name_zh,
            value.meaning or value.when,
            value.meaning_zh or value.when,
            position,
        )
        for tag in catalogue.tags
        for position, value in enumerate(tag.values)
    ]
    if values:
        con.executemany("insert into tags.catalogue_values values (?, ?, ?, ?, ?, ?, ?)", values)
