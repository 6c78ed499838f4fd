"""What an unknown export is: its form, a profile, the entity it looks like, and a source YAML to edit. Lands nothing."""

import re
import shutil
import tempfile
import unicodedata
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import polars as pl

from pipeline.ingest.archives import is_gzip
from pipeline.ingest.asides import OUTSIDE
from pipeline.ingest.containers import kind_of as container_kind
from pipeline.ingest.containers import open_file
from pipeline.ingest.inspect.plan import Plan, plan_table
from pipeline.ingest.inspect.profile import constant_columns, profile_records
from pipeline.ingest.inspect.proposal import propose
from pipeline.ingest.inspect.show import guess_lines, printable, profile_lines, section, trial_lines
from pipeline.ingest.inspect.tables import open_table
from pipeline.ingest.inspect.trial import try_landing
from pipeline.ingest.inspect.wording import in_words, say
from pipeline.ingest.keys import set_key
from pipeline.ingest.rates import define_rates, read_rates
from pipeline.ingest.read import UnreadableFile
from pipeline.ingest.rows import read_rows
from pipeline.ingest.rules import define_readers
from pipeline.ingest.sources import read_layout
from pipeline.warehouse import connect

PROPOSED = "proposed"
# of a workbook or archive; the others are named
MAX_TABLES = 20


def inspect_file(path: Path, settings, layouts: dict, observed_at: datetime) -> list[str]:
    """The lines to print of a file; the proposed YAML of each of its tables is saved in sources/proposed of the data folder.

    layouts: the built-in and own ones. observed_at: what counts as now when dates in the future are told. Raises
    UnreadableFile. Nothing else is written but to a folder that is removed.
    """
    language = settings.language
    with _scratch(settings) as scratch:
        opened = open_file(path, scratch, settings)
        lines = section(say(language, "file") + f": {printable(path.name)}", _file_lines(path, opened, language))
        for part in opened.parts[:MAX_TABLES]:
            if part.failure:
                lines += section(_table_title(part, language), [printable(part.failure)])
                continue
            try:
                table = open_table(opened, part, path.name, layouts, scratch)
                lines += _inspect_table(table, settings, layouts, observed_at, scratch)
            except UnreadableFile as error:
                if not opened.is_container:
                    raise
                lines += section(_table_title(part, language), [printable(in_words(language, str(error)))])
    return lines


def plan_file(path: Path, settings) -> list[Plan]:
    """The plan of each table of a file: what would be proposed. Raises UnreadableFile."""
    with _scratch(settings) as scratch:
        opened = open_file(path, scratch, settings)
        tables = [open_table(opened, part, path.name, {}, scratch) for part in opened.parts if not part.failure]
        return [_planned(_connection(settings, scratch), table, settings, scratch)[2] for table in tables]


def _connection(settings, scratch):
    """A connection that reads values as a landing does, with a key that is used for nothing else."""
    con = connect(settings, scratch)
    set_key(con, "a trial")
    define_readers(con)
    define_rates(con, read_rates(settings), settings.business_timezone)
    return con


def _planned(con, table, settings, scratch):
    """(the rows read, the profile, the plan) of a table."""
    profiles = []

    def keep(con):
        expected, country = table.readable.line_count, settings.phone_country_code
        profiles.append(profile_records(con, table.names, expected, settings.reporting_currency, country))
        return profiles[-1].records

    rows = read_rows(con, table.readable, table.form, scratch, keep)
    hint = _hint(table.file_name, table.part.label)
    plan = plan_table(profiles[-1], hint, lambda key: constant_columns(con, key, table.names))
    return rows, profiles[-1], plan


@contextmanager
def _scratch(settings):
    """A folder of the vault where there is one: what an interruption leaves there goes with the next night."""
    inside = settings.vault / "scratch" if settings.vault.is_dir() else None
    is_new = inside is not None and not inside.exists()
    if is_new:
        inside.mkdir(mode=0o700)
    with tempfile.TemporaryDirectory(prefix="inspect-", dir=inside) as folder:
        yield Path(folder)
    if is_new and not any(inside.iterdir()):
        inside.rmdir()


def _inspect_table(table, settings, layouts, observed_at, scratch):
    language = settings.language
    con = _connection(settings, scratch)
    rows, profile, plan = _planned(con, table, settings, scratch)
    lines = section(_table_title(table.part, language), _form_lines(table, rows, language))
    sampled = say(language, "whole", sampled=len(profile.sample))
    shown = [*profile_lines(profile, plan, language), sampled, say(language, "masked")]
    lines += section(say(language, "profile"), shown)
    lines += section(say(language, "looks_like"), guess_lines(profile, plan, language))
    layout = table.form.layout
    if layout:
        trial = try_landing(con, table, layout, settings, scratch, observed_at)
        by = say(language, "by_layout", layout=layout.name, source=layout.source)
        return lines + section(say(language, "recognised"), [by, *trial_lines(trial, language)])
    lines += section(say(language, "recognised"), [say(language, "not_recognised")])
    if not plan.entities:
        return lines
    name = _free_name(table.file_name, table.part.label, settings, layouts)
    text = propose(name, _base_name(table.file_name), table.written, profile, plan, settings)
    drafted = scratch / f"{name}.yaml"
    drafted.write_text(text, encoding="utf-8")
    trial = try_landing(con, table, read_layout(drafted), settings, scratch, observed_at)
    lines += section(say(language, "trial"), trial_lines(trial, language))
    lines += section(say(language, "proposal"), [])
    lines += ["", *text.splitlines(), ""]
    return [*lines, _saved(drafted, settings)]


def _file_lines(path, opened, language):
    kinds = {
        "text": "text",
        "zip": "zip",
        "workbook": "workbook",
        "json": "JSON",
        "parquet": "Parquet",
        "markup": "HTML/XML",
    }
    kind = "gzip" if is_gzip(path) else kinds[container_kind(path)]
    lines = [say(language, "size", size=path.stat().st_size, kind=kind)]
    if opened.is_container:
        labels = ", ".join(printable(part.label) for part in opened.parts[:MAX_TABLES])
        more = f" (+{len(opened.parts) - MAX_TABLES})" if len(opened.parts) > MAX_TABLES else ""
        if labels:
            lines.append(say(language, "tables", count=len(opened.parts), names=labels + more))
    return [*lines, *(printable(in_words(language, note)) for note in opened.notes)]


def _table_title(part, language):
    return say(language, "table", name=printable(part.label)) if part.label else say(language, "text")


def _form_lines(table, rows, language):
    form = table.form
    mark = {"\t": "tab", "whitespace": "whitespace"}.get(form.dialect.delimiter, f'"{form.dialect.delimiter}"')
    lines = []
    if not table.part.is_rendition:
        evidence = in_words(language, form.encoding.evidence) or say(language, "all_utf8")
        lines.append(say(language, "encoding", encoding=form.encoding.name, evidence=evidence))
        lines.append(say(language, "dialect", delimiter=mark, newline=table.original.newline))
    if table.part.is_keyed:
        lines.append(say(language, "keys", columns=len(table.names)))
    elif form.header_line:
        lines.append(say(language, "header", line=form.header_line, columns=len(table.names)))
    else:
        lines.append(say(language, "no_header"))
    outside = rows.refused.filter(pl.col("rule").is_in(OUTSIDE)).height
    refused = rows.refused.height - outside
    lines.append(say(language, "records", records=rows.records, refused=refused, outside=outside))
    # the evidence of the encoding stands above
    notes = [note for note in (*form.notes, *rows.notes) if note != form.encoding.evidence]
    warnings = [warning[language == "zh"] for warning in table.part.warnings]
    said = dict.fromkeys([*(in_words(language, note) for note in notes), *warnings])
    return lines + [printable(note) for note in said]


def _hint(file_name, label):
    return f"{file_name.split('.')[0]} {label}".replace("_", " ")


def _free_name(file_name, label, settings, layouts):
    """A name for the layout after the file, without what looks like a date or number, that no layout or proposal has yet."""
    base = _base_name(file_name, label)
    proposed = settings.data_dir / "sources" / PROPOSED
    number, free = 1, base
    while free in layouts or (proposed / f"{free}.yaml").exists():
        number += 1
        free = f"{base}_{number}"
    return free


def _base_name(file_name, label=""):
    """A file's name as a word, with that of the table in it; the tables of one file have the same ids of customers."""
    stem = unicodedata.normalize("NFKC", file_name.split(".")[0]).lower()
    if label and Path(label).stem.lower() != stem:
        stem += f" {label.lower()}"
    return "_".join(re.sub(r"\d{3,}|[^\w]|_", " ", stem).split())[:60] or "export"


def _saved(drafted, settings):
    """The proposal put where a person finds it, and no night does."""
    if not settings.data_dir.is_dir():
        return say(settings.language, "not_saved", folder=settings.data_dir)
    folder = settings.data_dir / "sources" / PROPOSED
    folder.mkdir(parents=True, exist_ok=True)
    shutil.move(drafted, folder / drafted.name)
    return say(settings.language, "saved", path=folder / drafted.name)
