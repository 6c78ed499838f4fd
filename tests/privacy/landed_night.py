"""A night's tables from rows given as if they had landed: no files, no models."""

from datetime import date, datetime

import duckdb
import polars as pl

from pipeline.ingest.contracts import load_contracts
from pipeline.meanings import comment_all
from pipeline.models import churn, clv, next_purchase, rfm, segments
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, load_catalogue
from pipeline.transform import build
from pipeline.warehouse import literal, write_frame
from tests.transform.identity_night import identify

AS_OF = date(2026, 3, 1)


def build_night(folder, landed):
    """A connection with core, marts, tags, vault and work as of AS_OF. landed: {entity: [row, ...]}; a row's cells that are
    not given are null, but for source (shop), customer_key (the source_customer_id) and observed_at.
    """
    con = duckdb.connect()
    con.execute("attach ':memory:' as vault")
    con.execute("attach ':memory:' as work")
    con.execute("set search_path = 'memory.main,work.main'")
    paths = {}
    for entity, rows in landed.items():
        paths[entity] = [folder / f"{entity}.parquet"]
        _write_landed(con, entity, rows, paths[entity][0])
    build.set_night(con, AS_OF, "Asia/Shanghai")
    identify(con, paths, AS_OF, "Asia/Shanghai")
    build.build_contacts(con)
    build.build_core(con, _ignore)
    build.build_facts(con, AS_OF, "Asia/Shanghai", [], 1000, _ignore)
    build.build_company_facts(con, _ignore)
    return con


def add_tags(con):
    """The tags of a night that no model has scored."""
    con.execute("create schema scores")
    for model in (rfm, segments, clv, churn, next_purchase):
        write_frame(con, f"scores.{model.__name__.split('.')[-1]}", pl.DataFrame(schema=model.SCHEMA))
    build_tags(con, load_catalogue(CATALOGUE_FOLDER), AS_OF)
    comment_all(con)


def _write_landed(con, entity, rows, path):
    types = load_contracts()[entity].landed_columns()
    whole = []
    for number, row in enumerate(rows, 1):
        standing = {
            "source": "shop",
            "customer_key": row.get("source_customer_id"),
            "file_id": "f",
            "file_record": number,
        }
        standing |= {"observed_at": datetime(2026, 2, 1), "delivery": "delta"}
        whole.append({name: str(cell) for name, cell in (standing | row).items() if cell is not None})
    con.register("given", pl.DataFrame(whole, schema=dict.fromkeys(types, pl.String)))
    typed = ", ".join(f'"{name}"::{kind} as "{name}"' for name, kind in types.items())
    con.execute(f"copy (select {typed} from given) to {literal(path)} (format parquet)")
    con.unregister("given")


def _ignore(name, rows):
    pass
