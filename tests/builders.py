"""Builders of test data: one valid export line, one valid layout, an inbox that is taken in; change one field of each."""

import textwrap
from datetime import datetime
from functools import cache
from pathlib import Path

import duckdb
import polars as pl
import yaml

from pipeline.ingest.clean import clean_vault_files
from pipeline.ingest.intake import inbox_files, observation_times, secure_folders, take_in
from pipeline.ingest.keys import set_key
from pipeline.ingest.rates import Rates, define_rates
from pipeline.ingest.relanding import land_again
from pipeline.ingest.rules import define_readers
from pipeline.ingest.sources import load_layouts, read_layout
from pipeline.ingest.suppressions import load_suppressions
from pipeline.ledger import Ledger
from pipeline.settings import read_settings

NIGHT = datetime(2026, 11, 20, 18, 0, 0)

ORDER = {
    "订单号": "O1",
    "客户": "C1",
    "邮箱": "li@example.com",
    "手机": "13800138000",
    "下单时间": "2026-05-01 10:00:00",
    "实付": "100.00",
    "优惠": "5.00",
    "分期": "3",
    "修改时间": "",
}
CUSTOMER = {
    "会员号": "C1",
    "姓名": "李雷",
    "性别": "男",
    "生日": "1990-02-28",
    "电话": "13800138000",
    "积分": "120",
    "变更时间": "",
}


def make_order_line(**overrides) -> str:
    """One line of an order export (layout my_orders), a valid one but for the overrides."""
    return ",".join((ORDER | overrides).values())


def make_customer_line(**overrides) -> str:
    """One line of a customer export (layout my_customers), a valid one but for the overrides."""
    return ",".join((CUSTOMER | overrides).values())


def order_file(*lines: str) -> str:
    """An order export: its header, then the lines."""
    return "\n".join([",".join(ORDER), *lines]) + "\n"


def customer_file(*lines: str) -> str:
    """A customer export: its header, then the lines."""
    return "\n".join([",".join(CUSTOMER), *lines]) + "\n"


def make_order_layout(**overrides) -> dict:
    """The layout my_orders, as its YAML says it, but for the overrides."""
    return {
        "layout": "my_orders",
        "source": "shop",
        "match": {"columns": ["订单号", "下单时间"]},
        "entities": {
            "orders": {
                "columns": {
                    "order_id": "订单号",
                    "source_customer_id": "客户",
                    "email": "邮箱",
                    "phone": "手机",
                    "ordered_at": "下单时间",
                    "net": "实付",
                    "discount": "优惠",
                    "instalments": "分期",
                    "updated_at": "修改时间",
                }
            }
        },
    } | overrides


def make_customer_layout(**overrides) -> dict:
    """The layout my_customers, as its YAML says it, but for the overrides."""
    return {
        "layout": "my_customers",
        "source": "crm",
        "match": {"columns": ["会员号", "姓名"]},
        "entities": {
            "customers": {
                "columns": {
                    "source_customer_id": "会员号",
                    "name": "姓名",
                    "gender": {"column": "性别", "values": {"男": "male", "女": "female"}},
                    "birth_date": "生日",
                    "phone": "电话",
                    "loyalty_points": "积分",
                    "updated_at": "变更时间",
                }
            }
        },
    } | overrides


def write_layout(folder: Path, layout: dict | str) -> Path:
    """A layout as a YAML file in a folder, named as it says."""
    text = textwrap.dedent(layout) if isinstance(layout, str) else yaml.safe_dump(layout, allow_unicode=True)
    path = folder / f"{yaml.safe_load(text)['layout']}.yaml"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def make_layout(folder: Path, layout: dict | str):
    """A layout as the pipeline reads it."""
    return read_layout(write_layout(folder, layout))


def ingest_connection():
    """A connection as a night's ingest has it, with a key of its own for the keyed hashes."""
    con = duckdb.connect()
    con.execute("set timezone = 'UTC'")
    con.execute("set threads = 2")
    con.execute("create schema scratch")
    set_key(con, "a key")
    define_readers(con)
    define_rates(con, Rates(), "Asia/Shanghai")
    return con


@cache
def our_layouts():
    """The layouts of the project, read once for all tests."""
    return load_layouts()


class Intake:
    """A data folder with the layouts my_orders and my_customers, whose inbox is taken in file by file."""

    def __init__(self, folder: Path):
        self.settings = read_settings(folder / "data", {})
        secure_folders(self.settings)
        self.scratch = self.settings.vault / "scratch"
        self.scratch.mkdir()
        self.ledger = Ledger(self.settings.ledger)
        self.con = ingest_connection()
        self.nights = 0
        self.write_layout(make_order_layout())
        self.write_layout(make_customer_layout())

    @property
    def inbox(self):
        return self.settings.inbox

    def write_layout(self, layout):
        return write_layout(self.settings.data_dir / "sources", layout)

    def layouts(self):
        users = (read_layout(path) for path in sorted((self.settings.data_dir / "sources").glob("*.yaml")))
        return our_layouts() | {layout.name: layout for layout in users}

    def drop(self, name: str, content: str | bytes) -> Path:
        """A file in the inbox."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def night(self, full=False) -> dict:
        """What becomes of every earlier file and every file of the inbox: name -> Outcome. Lines must add up."""
        self.nights += 1
        layouts, outcomes = self.layouts(), {}
        for content in self.ledger.rows("select * from contents order by observed_at, content_hash"):
            again = land_again(self.con, content, self.settings, layouts, self.ledger, self.scratch, full)
            outcomes[f"again: {again.file_name}"] = again
        files = inbox_files(self.settings)
        times = observation_times(NIGHT.replace(day=20 + self.nights % 10), len(files))
        for path, observed_at in zip(files, times, strict=True):
            for outcome in take_in(
                self.con,
                path,
                self.settings,
                layouts,
                self.ledger,
                self.scratch,
                observed_at,
                f"run {self.nights}",
            ):
                outcomes[outcome.file_name] = outcome
        for outcome in outcomes.values():
            for landing in outcome.landings:
                assert_lines_add_up(landing)
        return outcomes

    def take(self, name: str, content: str | bytes):
        """One file dropped and taken in: its Outcome."""
        self.drop(name, content)
        return self.night()[name]

    def suppress(self, **shown: str) -> None:
        """Keep somebody out: email=..., phone=..., customer="source|key", order="source|number"."""
        for kind, text in shown.items():
            whole = f"{kind}:{text}".replace("|", "\x1f")
            (row,) = self.con.execute("select sieve($1), keyed($1)", (whole,)).fetchall()
            named = {"kind": kind, "sieve": row[0], "hash": row[1], "request_id": "r", "suppressed_on": "2026-11-20"}
            self.ledger.insert_new({"suppressions": [named]})
        load_suppressions(self.con, self.ledger)

    def clean(self) -> dict:
        """The vault's files without the suppressed."""
        return clean_vault_files(self.con, self.settings, self.layouts(), self.ledger, self.scratch)

    def landed(self, landing) -> list[dict]:
        """The rows of a landing, in the order of the file."""
        return pl.read_parquet(landing.path).sort("file_record").to_dicts()

    def rejects(self, landing) -> list[dict]:
        """The vault's listing of a landing's broken rules, with the original lines."""
        return pl.read_parquet(landing.rejects_path).to_dicts() if landing.rejects_path else []


def assert_lines_add_up(landing) -> None:
    """lines read = landed + rejected + duplicates, and no row without its line."""
    assert landing.lines_read == landing.landed + landing.rejected + landing.duplicates
    assert landing.record_count <= landing.landed


def broken(rejects: list[dict]) -> list[tuple]:
    """(line, column, rule, action) of each broken rule."""
    return [(row["line"], row["column_name"], row["rule"], row["action"]) for row in rejects]
