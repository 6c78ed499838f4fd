"""Exports and reports of every date without the suppressed: they hold customer ids, and no other trace of a person."""

import re
import zipfile
from collections import Counter
from contextlib import suppress
from pathlib import Path

import duckdb
import polars as pl

from pipeline.ingest.suppressions import find_matches, shown, table_shows
from pipeline.reports.workbook import write_workbook
from pipeline.warehouse import literal, published_nights, replace_file

CUSTOMER_ID = re.compile(rb"\bC\d{9,}\b")


def clean_outputs(con, settings, scratch: Path) -> Counter:
    """Files under exports and reports, written again without the rows of the suppressed. Returns (file, what) -> count.

    A workbook is made anew from the night it shows, which must be clean already; where that is gone, and for any other
    kind of file that names a suppressed customer, the file is removed.
    """
    found = Counter()
    nights = {str(day): path for day, path in published_nights(settings).items()}
    for folder in ("exports", "reports"):
        for path in sorted((settings.data_dir / folder).rglob("*")):
            if path.is_file() and not path.is_symlink():
                what, count = _clean(con, path, settings, nights, scratch)
                if count:
                    found[str(path.relative_to(settings.data_dir)), what] += count
    return found


def _clean(con, path, settings, nights, scratch):
    """(what, how many) went from one file."""
    match path.suffix.lower():
        case ".parquet":
            return "rows", _clean_parquet(con, path, scratch)
        case ".xlsx":
            return _clean_workbook(con, path, settings, nights, scratch)
        case ending:
            content = path.read_bytes()
            doomed = _doomed(con, content)
            if not doomed:
                return "", 0
            if ending == ".csv":
                return "rows", _clean_csv(content, doomed, path, scratch)
            path.unlink()
            return "file removed", 1


def _doomed(con, content):
    """The suppressed among the customer ids that stand in some bytes."""
    ids = pl.DataFrame({"customer_id": sorted({one.decode() for one in CUSTOMER_ID.findall(content)})}).with_row_index()
    con.register("ids_found", ids)
    find_matches(con, "from ids_found", "index", [shown("customer_id", "customer_id")], "scratch.ids_doomed")
    con.unregister("ids_found")
    places = {place for (place,) in con.execute("select place from scratch.ids_doomed").fetchall()}
    return {row["customer_id"] for row in ids.iter_rows(named=True) if row["index"] in places}


def _clean_csv(content, doomed, path, scratch):
    """Rows that name a doomed id go; the others stay byte for byte."""
    kept, gone, pending = [], 0, ""
    for line in re.findall(r"[^\n]*\n|[^\n]+", content.decode("utf-8")):
        pending += line
        if pending.count('"') % 2:
            continue
        if _ids(pending) & doomed:
            gone += 1
        else:
            kept.append(pending)
        pending = ""
    part = scratch / path.name
    part.write_text("".join(kept) + pending, encoding="utf-8", newline="")
    replace_file(part, path)
    return gone


def _ids(text):
    return {one.decode() for one in CUSTOMER_ID.findall(text.encode())}


def _clean_parquet(con, path, scratch):
    source = f"read_parquet({literal(path)}, file_row_number = true)"
    columns = [name for name, *_ in con.execute(f"describe from {source}").fetchall()]
    gone = find_matches(con, f"from {source}", "file_row_number", table_shows(columns), "scratch.rows_doomed")
    if gone:
        part = scratch / path.name
        con.execute(
            f"copy (select * exclude (file_row_number) from {source}"
            " where file_row_number not in (select place from scratch.rows_doomed))"
            f" to {literal(part)} (format parquet, compression zstd)"
        )
        replace_file(part, path)
    return gone


def _clean_workbook(con, path, settings, nights, scratch):
    doomed = set()
    with zipfile.ZipFile(path) as workbook:
        for name in workbook.namelist():
            doomed |= _doomed(con, workbook.read(name))
    if not doomed:
        return "", 0
    night = nights.get(path.parent.name)
    if path.name == "customer_tags.xlsx" and night:
        part = scratch / path.name
        with suppress(duckdb.Error), duckdb.connect(str(night), read_only=True) as clean:
            write_workbook(clean, part, settings.language, settings.workbook_max_customers)
            replace_file(part, path)
            return "rows", len(doomed)
    path.unlink()
    return "workbook removed, as the night it shows is no longer there", 1
