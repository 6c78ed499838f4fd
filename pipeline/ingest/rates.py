"""data/rates.csv: what one unit of a currency is worth in the reporting currency, by business day."""

import csv
import hashlib
import re
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation

import polars as pl
import pyarrow as pa

from pipeline.ingest.contracts import ContractError
from pipeline.warehouse import identifier, literal

COLUMNS = ("date", "currency", "rate")
# a rate holds over a weekend and holidays, no longer; a later one never counts
HOLDS_DAYS = 7


@dataclass(frozen=True)
class Rates:
    """rate by (currency, day) as the file says."""

    by_day: dict[tuple[str, date], Decimal] = field(default_factory=dict)


def read_rates(settings) -> Rates:
    """The rates of a data folder, none where there is no rates.csv. Raises ContractError naming the line and the mend."""
    path = settings.data_dir / "rates.csv"
    if not path.exists():
        return Rates()
    found = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ContractError(f"{path.name}: not UTF-8 (byte {error.start}); save it as CSV UTF-8") from None
    reader = csv.reader(lines)
    header = [name.strip().lower() for name in next(reader, [])]
    if not set(COLUMNS) <= set(header):
        raise ContractError(f"{path.name} line 1: needs the columns {', '.join(COLUMNS)}; write them as its first line")
    for cells in reader:
        if not any(cell.strip() for cell in cells):
            continue
        row = dict(zip(header, (cell.strip() for cell in cells), strict=False))
        currency, day, rate = _rate(f"{path.name} line {reader.line_num}", row, settings.reporting_currency)
        if found.setdefault((currency, day), rate) != rate:
            raise ContractError(
                f"{path.name} line {reader.line_num}: another rate of {currency} on {day} stands above; keep one"
            )
    return Rates(found)


def rates_version(settings) -> str:
    """Changes with the content of rates.csv; '' where there is none."""
    path = settings.data_dir / "rates.csv"
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else ""


def _rate(where, row, reporting_currency):
    try:
        day = date.fromisoformat(row.get("date", ""))
    except ValueError:
        raise ContractError(f'{where}: date "{row.get("date", "")}" is no date; write for example 2026-11-01') from None
    currency = row.get("currency", "").upper()
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise ContractError(f'{where}: currency "{currency}"; write an ISO 4217 code such as USD')
    if currency == reporting_currency:
        raise ContractError(f"{where}: {currency} is the reporting currency, whose rate is 1; take the line out")
    try:
        rate = Decimal(row.get("rate", ""))
    except InvalidOperation:
        rate = Decimal(0)
    if not rate.is_finite() or not 0 < rate < 10**9 or rate.normalize().as_tuple().exponent < -8:
        raise ContractError(
            f'{where}: rate "{row.get("rate", "")}"; write how many {reporting_currency} one {currency} is, such as 7.1234'
            " (more than 0, eight places at most)"
        )
    return currency, day, rate


def define_rates(con, rates: Rates, business_timezone: str) -> None:
    """The function exchange_rate_on(currency, moment) of a connection: the rate of the business day of a UTC time, as text.

    And the variable business_timezone.
    """
    filled = {}
    for (currency, day), rate in sorted(rates.by_day.items()):
        # later days are written after, and so over, the earlier ones
        filled |= {(currency, day + timedelta(days=after)): str(rate) for after in range(HOLDS_DAYS + 1)}
    table = pl.DataFrame(
        [(currency, day, rate) for (currency, day), rate in filled.items()],
        {"currency": pl.String, "day": pl.Date, "rate": pl.String},
        orient="row",
    )

    def exchange_rate_on(currencies, moments):
        days = pl.Series("day", moments).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        days = days.dt.convert_time_zone(business_timezone).dt.date()
        asked = pl.DataFrame([pl.Series("currency", currencies).cast(pl.String), days])
        found = asked.join(table, on=["currency", "day"], how="left", maintain_order="left")
        return found["rate"].to_arrow().cast(pa.string())

    con.execute(f"set variable business_timezone = {literal(business_timezone)}")
    con.create_function(
        "exchange_rate_on", exchange_rate_on, ["VARCHAR", "TIMESTAMP"], "VARCHAR", type="arrow", null_handling="special"
    )


def exchange_rate_sql(currency: str, moment: str, reporting_currency: str) -> str:
    """SQL for the rate of a currency at a UTC time: 1 for the reporting currency, null where none is known."""
    return (
        f"case when {currency} = {literal(reporting_currency)} then 1"
        f" when {currency} is not null and {moment} is not null"
        f" then exchange_rate_on({currency}, {moment})::decimal(18, 8) end::decimal(18, 8)"
    )


def missing_rates(con, contract, table: str, reading) -> str:
    """The currencies, each with its first and last business day, for which typed records were rejected for want of a rate."""
    if "currency" not in contract.columns:
        return f"{reading.currency}, which its amounts are in and no column says"
    day = f"timezone(getvariable('business_timezone'), timezone('UTC', {identifier(contract.event_time)}))::date"
    found = con.execute(
        f"select currency, min({day}), max({day}) from {table}"
        " where contains(reject, 'currency|no_exchange_rate') group by currency order by currency limit 10"
    ).fetchall()
    return ", ".join(f"{code} on {first}" + (f" to {last}" if last != first else "") for code, first, last in found)
