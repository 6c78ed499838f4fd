"""make bench-identity: seconds and memory of matching any number of source records, against the truth they were drawn from.

A person has two to three records in three sources; 85 % show the person's telephone, 70 % the e-mail address, 3 % share
their telephone with another person of another birthday, and 1 % show a placeholder.
"""

import argparse
import resource
import tempfile
import time
from datetime import date
from pathlib import Path

from pipeline.ingest.contracts import load_contracts
from pipeline.settings import Settings
from pipeline.transform.build import set_night, start_of_day_utc
from pipeline.transform.identity import resolve_customers
from pipeline.transform.identity_rules import load_rules
from pipeline.transform.references import collect_references
from pipeline.transform.staging import read_landed, stage_entities
from pipeline.warehouse import attach, connect, identifier, literal, value

AS_OF = date(2026, 11, 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-identity-") as folder:
        measure(Path(folder), arguments.records)


def measure(folder, records):
    """Land the records, then resolve them twice: the first night numbers them, the second finds them known."""
    settings = Settings(folder)
    con = connect(settings, folder)
    for name in ("vault", "work"):
        attach(con, folder / f"{name}.duckdb", name, settings.storage_version)
    con.execute("set search_path = 'work.main'")
    con.execute("set preserve_insertion_order = false")
    con.execute("create temp macro keyed(v) as sha256(v)[:32]")
    _land(con, folder / "customers.parquet", records)
    set_night(con, AS_OF, settings.business_timezone)
    read_landed(con, {"customers": [folder / "customers.parquet"]})
    moment, rules = start_of_day_utc(AS_OF, settings.business_timezone), load_rules()
    for night in ("first", "second"):
        begun = time.monotonic()
        limit = settings.max_customers_per_identifier
        collect_references(con, load_contracts(), rules, limit, moment)
        stage_entities(con)
        counts = resolve_customers(con, rules, (), limit, moment, True, (AS_OF, night))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
        print(f"{night} night: {time.monotonic() - begun:.1f} s, peak {peak:.2f} GiB, {counts}", flush=True)
    print("linked, wrongly linked and missed pairs: {:,.0f} {:,.0f} {:,.0f}".format(*_pairs(con)))


def _land(con, path, records):
    columns = load_contracts()["customers"].landed_columns()
    made = {
        "source": "['crm', 'shop', 'helpdesk'][1 + number % 3]",
        "customer_key": "'r' || number",
        "source_customer_id": "'r' || number",
        "email": "case when hash(number, 1) % 100 < 70 then 'u' || person || '@mail.example' end",
        "phone": "case when hash(number, 2) % 100 = 0 then '+8613800000000' when hash(number, 2) % 100 < 86 then '+861'"
        " || 3000000000 + case when hash(person, 3) % 100 < 3 then person - person % 50 else person end end",
        "birth_date": "case when hash(number, 4) % 100 < 80 then date '1950-01-01' + (hash(person, 5) % 20000)::integer end",
        "registered_at": "timestamp '2023-01-01' + to_seconds((hash(number, 6) % 100000000)::bigint)",
        "file_id": "'bench'",
        "file_record": "number",
        "observed_at": "timestamp '2026-10-31'",
        "delivery": "'full'",
    }
    typed = ", ".join(f"({made.get(name, 'null')})::{kind} as {identifier(name)}" for name, kind in columns.items())
    con.execute(
        f"copy (select {typed} from (select range as number, (range * 2 // 5) as person from range({int(records)})))"
        f" to {literal(path)} (format parquet)"
    )


def _pairs(con):
    con.execute(
        "create table work.judged as select (substr(customer_key, 2)::bigint * 2 // 5) as person, customer_id"
        " from customer_map"
    )

    def pairs(key):
        return value(con, f"select sum(n * (n - 1) / 2) from (select count(*) as n from judged group by {key})")

    right = pairs("person, customer_id")
    return pairs("customer_id"), pairs("customer_id") - right, pairs("person") - right


if __name__ == "__main__":
    main()
