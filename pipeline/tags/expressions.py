"""SQL expressions that people write in YAML: checked when loaded, before any warehouse is at hand.

At the level of customers they read one joined row: marts.customer_facts as facts, with scores.rfm, scores.segments,
scores.clv, scores.churn, scores.next_purchase and scores.contract_churn left joined by customer_id. Tags and audiences share
this row. At the level of companies they read marts.company_facts as company.
"""

import json
import re
from pathlib import Path

import duckdb
import yaml

SCORES = ("rfm", "segments", "clv", "churn", "next_purchase", "contract_churn")
# level -> what an expression may name; the first is the row that everyone at that level has
ROWS = {"customer": ("facts", *SCORES), "company": ("company",)}
CLOCK = re.compile(
    r"\b(now|today|current_date|current_timestamp|current_time|localtime|localtimestamp|get_current_timestamp"
    r"|random|uuid|gen_random_uuid|uuidv4|uuidv7|setseed)\b",
    re.IGNORECASE,
)
LITERAL = re.compile(r"'(?:[^']|'')*'")
ROW_COLUMN = re.compile(rf"\b({'|'.join(name for row in ROWS.values() for name in row)})\s*\.\s*\w+", re.IGNORECASE)


def quote_text(text):
    """A Python string as an SQL text literal."""
    return "'" + str(text).replace("'", "''") + "'"


def code_of(raw):
    """How to name an entry of a YAML list in an error: by its code, else as written."""
    return raw.get("code", "without a code") if isinstance(raw, dict) else repr(raw)


def relations_used(*expressions):
    """The set of joined relations ('facts', 'rfm', ...) that SQL expressions name; text literals do not count."""
    found = set()
    for expression in expressions:
        found.update(name.lower() for name in ROW_COLUMN.findall(LITERAL.sub("''", expression or "")))
    return found


def joined_row(relations, level="customer"):
    """A FROM clause giving the row of a level, with only the score tables in `relations`.

    Every score table is keyed by customer_id, so no join multiplies rows.
    """
    if level == "company":
        return "marts.company_facts as company"
    joins = [
        f"left join scores.{score} as {score} on facts.customer_id = {score}.customer_id"
        for score in SCORES
        if score in relations
    ]
    return "\n".join(["marts.customer_facts as facts", *joins])


def expression_fault(con, expression, needs_column=True, level="customer"):
    """Why an SQL expression cannot stand in a catalogue, in words with the mend, or None when it can.

    con: any DuckDB connection; only its parser is used. Whether the columns exist is known only when it runs.
    """
    columns = ", ".join(f"{name}.x" for name in ROWS[level])
    if not isinstance(expression, str) or not expression.strip():
        return f"is empty; write an SQL expression over {columns}"
    parsed = json.loads(con.execute("select json_serialize_sql(?)", [f"select (\n{expression}\n)"]).fetchone()[0])
    if parsed["error"]:
        return f"is no SQL expression: {parsed['error_message']}; correct it"
    if len(parsed["statements"]) != 1:
        return "holds more than one statement; keep one expression"
    clock = CLOCK.search(LITERAL.sub("''", expression))
    if clock:
        return f"uses {clock.group(0)}, which changes from run to run; use {ROWS[level][0]}.as_of or a stored column"
    used = relations_used(expression)
    if not used <= set(ROWS[level]):
        return f"names {min(used - set(ROWS[level]))}, which the level {level} does not have; write {columns}"
    if needs_column and not used:
        return f"names no column of the joined row; write it with a prefix: {columns}"
    return None


def parser_connection():
    """An empty in-memory DuckDB, for its SQL parser."""
    return duckdb.connect(":memory:")


def folder_and_name(path):
    """data/tags/own.yaml: the file as its owner knows it, without what lies above the data folder."""
    return "/".join(path.parts[-3:])


def read_yaml_folder(folder, error):
    """[(path, mapping)] of the *.yaml and *.yml files of a folder, by name; an absent folder has none.

    error: the exception class to raise, with file and mend, where a file is no YAML mapping.
    """
    found = []
    for path in sorted([*Path(folder).glob("*.yaml"), *Path(folder).glob("*.yml")]):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as fault:
            place = getattr(fault, "problem_mark", None)
            line = f" line {place.line + 1}" if place else ""
            why = getattr(fault, "problem", None) or str(fault).splitlines()[0]
            raise error(f"{folder_and_name(path)}{line}: no readable YAML ({why}); correct it") from fault
        if not isinstance(content, dict):
            raise error(
                f"{folder_and_name(path)}: expected a mapping at the top, not {type(content).__name__}; see the shipped files"
            )
        found.append((path, content))
    return found
