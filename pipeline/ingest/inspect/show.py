"""An inspection as lines for a person: aligned, in the language of the settings, nothing personal in them."""

from datetime import datetime

from rich.cells import cell_len, set_cell_size

from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.inspect.masks import are_harmless_words, mask, may_be_personal
from pipeline.ingest.inspect.plan import Plan
from pipeline.ingest.inspect.profile import MOMENT_KINDS, NUMBER_KINDS, WORD_KINDS, ColumnProfile, TableProfile
from pipeline.ingest.inspect.trial import TRIAL_BYTES, Trial
from pipeline.ingest.inspect.wording import in_words, kind_word, say
from pipeline.ingest.rules import FALSE_WORDS, TRUE_WORDS

EXAMPLES, NAME_WIDTH, RANGE_WIDTH, EXAMPLE_WIDTH = 3, 30, 34, 60
# a whole number as long as this may be a number of somebody
LONG_NUMBER = 7


def printable(text: str) -> str:
    """A text without line ends and whatever else a terminal would act on."""
    return "".join(one if one.isprintable() else "·" for one in text)


def section(title: str, lines: list[str]) -> list[str]:
    """A title and its lines, indented."""
    return ["", title, *(f"  {line}" for line in lines)]


def profile_lines(table: TableProfile, plan: Plan, language: str) -> list[str]:
    """One line a column: kind, blanks, distinct values, range, examples."""
    heads = [say(language, name) for name in ("column", "kind", "blank", "distinct", "range", "examples")]
    rows = [heads]
    mapped = plan.headers()
    for column in table.columns:
        is_hidden = is_to_hide(column, mapped.get(column.header, ()))
        rows.append(
            [
                printable(column.header),
                kind_word(language, column.kind),
                f"{column.blanks:,}",
                ("" if column.is_exact else "≈") + f"{column.distinct:,}",
                _range(column, is_hidden),
                ", ".join(_examples(column, is_hidden)),
            ]
        )
    limits = (NAME_WIDTH, 12, 12, 14, RANGE_WIDTH, EXAMPLE_WIDTH)
    return aligned(rows, limits, right={2, 3})


def aligned(rows: list[list[str]], limits: tuple[int, ...], right=frozenset()) -> list[str]:
    """Rows in columns of the width that a terminal gives them, in which a Chinese character takes two places."""
    widths = [min(limit, max(cell_len(row[place]) for row in rows)) for place, limit in enumerate(limits)]
    lines = []
    for row in rows:
        cells = []
        for place, (text, width) in enumerate(zip(row, widths, strict=True)):
            short = text if cell_len(text) <= width else set_cell_size(text, width - 1) + "…"
            blank = " " * (width - cell_len(short))
            cells.append(blank + short if place in right else short + blank)
        lines.append("  ".join(cells).rstrip())
    return lines


def is_to_hide(column: ColumnProfile, mapped) -> bool:
    """Whether a column's values may be personal: by what it is mapped to, by its name, or since nothing says that they are not."""
    contracts = load_contracts()
    targets = [contracts[entity].columns[name] for entity, name in mapped]
    if any(target.personal or target.type in ("id", "text") for target in targets):
        return True
    if column.kind == "boolean" and all(word.lower() in TRUE_WORDS + FALSE_WORDS for word in column.words):
        return False
    if column.kind in ("email", "phone", "id", "text") or (not targets and may_be_personal(column.header)):
        return True
    if column.kind == "integer" and not targets:
        return max(len(column.low.split(".")[0]), len(column.high.split(".")[0])) >= LONG_NUMBER
    if column.kind in WORD_KINDS:
        return not are_harmless_words(list(column.words), bool(targets))
    return False


def _range(column, is_hidden):
    if not column.low:
        return ""
    if column.kind in MOMENT_KINDS:
        if is_hidden:
            return f"{column.low[:4]} .. {column.high[:4]}"
        ends = [datetime.fromisoformat(end) for end in (column.low, column.high)]
        is_day = column.kind == "date"
        return " .. ".join(f"{end:%Y-%m-%d}" if is_day else f"{end:%Y-%m-%d %H:%M}" for end in ends)
    if column.kind in NUMBER_KINDS and not is_hidden:
        return " .. ".join(end.rstrip("0").rstrip(".") if "." in end else end for end in (column.low, column.high))
    return ""


def _examples(column, is_hidden):
    if column.kind in WORD_KINDS and not is_hidden:
        words = [printable(word) for word in column.words]
        return words[:8] + (["…"] if len(words) > 8 else [])
    filled = dict.fromkeys(cell.strip() for cell in column.cells if cell.strip())
    if not is_hidden:
        return [printable(cell) for cell in list(filled)[:EXAMPLES]]
    return list(dict.fromkeys(printable(mask(cell, column.kind)) for cell in list(filled)[:50]))[:EXAMPLES]


def guess_lines(table: TableProfile, plan: Plan, language: str) -> list[str]:
    """What the table looks like, why, and what it looks like next."""
    if plan.guess is None:
        return [say(language, "nothing")]
    contracts = load_contracts()

    def named(guess, most=6):
        return ", ".join(f"{printable(guess.matches[name].header)} → {name}" for name in guess.telling[:most])

    best = plan.guess
    lines = [_entity_name(best.entity, language), say(language, "spoke", columns=named(best))]
    key = next((name for name in contracts[plan.entities[0].entity].key if name in plan.entities[0].columns), None)
    if key and plan.entities[0].columns[key].header:
        header = plan.entities[0].columns[key].header
        column = next(column for column in table.columns if column.header == header)
        if column.is_unique(table.records):
            lines.append(say(language, "key_unique", header=printable(header)))
        elif plan.entities[0].fold:
            lines.append(
                say(
                    language,
                    "key_repeats",
                    header=printable(header),
                    distinct=column.distinct,
                    records=table.records,
                    entity=plan.entities[0].entity,
                )
            )
    for entity in plan.entities[1:]:
        lines.append(say(language, "beside", entity=_entity_name(entity.entity, language)))
    if plan.runner_up:
        lines.append(
            say(
                language,
                "runner_up",
                entity=plan.runner_up.entity,
                score=plan.runner_up.score,
                best=best.score,
                columns=named(plan.runner_up, 3),
            )
        )
    for guess in plan.nearly:
        columns, missing = named(guess), ", ".join(guess.missing)
        lines.append(
            say(language, "nearly", entity=_entity_name(guess.entity, language), columns=columns, missing=missing)
        )
    return lines


def _entity_name(entity, language):
    return say(language, "entity", entity=entity, meaning=load_contracts()[entity].meaning[language])


def trial_lines(trial: Trial, language: str) -> list[str]:
    """What would land, and the rules that most lines break."""
    lines = [say(language, "trial_head", size=TRIAL_BYTES >> 20)] if trial.is_of_the_beginning else []
    for landing in trial.landings:
        if landing.failed:
            lines.append(
                say(language, "would_fail", entity=landing.entity, why=printable(in_words(language, landing.failed)))
            )
            continue
        lines.append(
            say(
                language,
                "would_land",
                entity=landing.entity,
                read=landing.lines_read,
                landed=landing.landed,
                records=landing.record_count,
                rejected=landing.rejected,
                duplicates=landing.duplicates,
            )
        )
        for entity, column, rule, action, count in trial.rules[:20]:
            if entity == landing.entity:
                done = say(language, action)
                lines.append(
                    "  " + say(language, "broken_rule", count=count, column=column or "", rule=rule, action=done)
                )
    if trial.failed and not any(landing.failed for landing in trial.landings):
        lines.append(printable(in_words(language, trial.failed)))
    return lines
