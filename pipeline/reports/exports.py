"""Tags as files that people open: CSV and workbook a row a customer or company, Parquet a row a tag."""

from pathlib import Path

from pipeline.reports.wide import make_company_table, make_wide_table, quote_text
from pipeline.reports.workbook import write_workbook

BYTE_ORDER_MARK = "\ufeff"


def write_exports(con, out_dir, language, workbook_max_customers):
    """Write customer_tags.csv, .parquet and .xlsx, and company_tags.csv where companies are known, into out_dir.

    out_dir is made where missing. con: DuckDB connection to a warehouse (read-only will do). language: 'zh' or 'en'.
    workbook_max_customers: the workbook holds at most so many, those with the highest net spend, and says so.
    Returns {file name: data rows}. Rows are sorted by id (Parquet: as stored, by tag).
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    write_csv(con, make_wide_table(con, language).query, out_dir / "customer_tags.csv")
    parquet = quote_text(out_dir / "customer_tags.parquet")
    con.execute(f"copy (from tags.customer_tags) to {parquet} (format parquet, compression zstd, compression_level 1)")
    customers, tagged = con.execute(
        "select (select count(*) from marts.customer_facts), (select count(tag) from tags.customer_tags)"
    ).fetchone()
    in_workbook = write_workbook(con, out_dir / "customer_tags.xlsx", language, workbook_max_customers)
    counts = {
        "customer_tags.csv": customers,
        "customer_tags.parquet": tagged,
        "customer_tags.xlsx": in_workbook,
    }
    companies = con.execute("select count(*) from marts.company_facts").fetchone()[0]
    if companies:
        write_csv(con, make_company_table(con, language).query, out_dir / "company_tags.csv")
        counts["company_tags.csv"] = companies
    return counts


def write_csv(con, query, path):
    """COPY a query to a CSV that spreadsheets read as UTF-8: the byte order mark rides on the first heading.

    The first heading must need no quoting, or the mark would stand inside the quotes.
    """
    first, *_ = [column[0] for column in con.execute(f"select * from ({query}) limit 0").description]
    if any(character in first for character in ',"\n\r') or first != first.strip():
        raise ValueError(
            f"{Path(path).name}: first heading {first!r} would be quoted; take out commas, quotes and line ends"
        )
    marked = quote_identifier(BYTE_ORDER_MARK + first)
    con.execute(
        f"""
        copy (select {quote_identifier(first)} as {marked}, * exclude ({quote_identifier(first)}) from ({query}))
        to {quote_text(path)} (format csv, header true)
        """
    )


def quote_identifier(name):
    """A Python string as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
