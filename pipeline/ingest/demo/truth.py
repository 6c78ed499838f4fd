"""The truth about the demo shop's people, as Parquet beside the inbox. No night reads it."""

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from pipeline.ingest.demo.people import NOBODY, People, gather


class TruthTable:
    """A Parquet file that grows block by block."""

    def __init__(self, path):
        self.path, self.writer = path, None

    def append(self, frame: pl.DataFrame):
        table = frame.to_arrow()
        if self.writer is None:
            self.writer = pq.ParquetWriter(self.path, table.schema)
        self.writer.write_table(table)

    def close(self):
        if self.writer is not None:
            self.writer.close()


def customer_truth(people, buyers, traits, drop_out_day, by_buyer, purchases, law, first_day) -> pl.DataFrame:
    """One row per person. Null law columns for people who never buy; drop_out_on is null for those who
    still buy."""
    day = np.datetime64(first_day, "D")
    bought = pl.DataFrame(
        {
            "person_id": people.number[buyers],
            "purchase_rate_per_week": traits["rate"],
            "drop_out_chance": traits["p"],
            "spend_rate": traits["nu"],
            "mean_order_amount": law.spend_p / traits["nu"],
            "is_discount_hunter": traits["is_hunter"],
            "first_order_on": pl.Series(day + traits["first_day"]).cast(pl.Date),
            "drop_out_on": pl.select(
                pl.when(pl.Series(drop_out_day >= 0)).then(pl.Series(day + drop_out_day).cast(pl.Date))
            ).to_series(),
            "purchase_count": np.bincount(by_buyer, minlength=buyers.size),
            "tastes": pl.Series(traits["tastes"].astype(np.float32)).cast(pl.List(pl.Float32)),
        }
    )
    flags = {name: people.flags[name] for name in ("in_crm", "in_shop", "has_account")}
    return pl.DataFrame({"person_id": people.number} | flags).join(
        bought, on="person_id", how="left", maintain_order="left"
    )


def purchase_truth(people, orders, bought, first_day) -> pl.DataFrame:
    """One row per purchase of the law: person_id, order_no, purchased_on (local date), amount (CNY),
    drop_out_chance (that held right after it, planted signals included)."""
    day = np.datetime64(first_day, "D") + orders.day[bought]
    return pl.DataFrame(
        {
            "person_id": people.number[orders.person[bought]],
            "order_no": orders.ids().filter(pl.Series(bought)),
            "purchased_on": pl.Series(day).cast(pl.Date),
            "amount": orders.net[bought] / 100,
            "drop_out_chance": orders.drop_out_chance[bought],
        }
    )


def source_ids(people: People) -> pl.DataFrame:
    """Truth: under which ids, e-mails and phones each system holds each person.

    One row per person, source and id there; source_customer_id is null for guests of the shop. Columns:
    person_id, source, source_customer_id, email, phone (both normalised, null where that system has none).
    """
    flags = people.flags

    def rows(source, mask, ids, email, has_email, has_phone):
        position = np.flatnonzero(mask)
        return pl.DataFrame(
            {
                "person_id": people.number[position],
                "source": [source] * position.size,
                "source_customer_id": ids(position),
                "email": gather(email, np.where(has_email[position], position, NOBODY)),
                "phone": gather(people.phone, np.where(has_phone[position], position, NOBODY)),
            },
            schema_overrides={"source": pl.String, "source_customer_id": pl.String},
        )

    guests = flags["in_shop"] & ~flags["has_account"]
    everyone = np.ones(len(people), bool)
    return pl.concat(
        [
            rows(
                "crm",
                flags["in_crm"],
                lambda at: people.crm_id(at, False),
                people.email,
                flags["crm_email"],
                flags["crm_phone"],
            ),
            rows(
                "crm",
                flags["second_contact"],
                lambda at: people.crm_id(at, True),
                people.email,
                ~everyone,
                everyone,
            ),
            rows(
                "shop",
                flags["has_account"],
                lambda at: people.shop_id(at, False),
                people.email,
                everyone,
                flags["shop_phone"],
            ),
            rows(
                "shop",
                flags["second_account"],
                lambda at: people.shop_id(at, True),
                people.second_email,
                everyone,
                everyone,
            ),
            rows(
                "shop",
                guests,
                lambda at: pl.Series([None] * at.size, dtype=pl.String),
                people.email,
                flags["guest_by_email"],
                ~flags["guest_by_email"],
            ),
            rows(
                "helpdesk",
                everyone,
                people.requester_id,
                people.email,
                people.known_email(),
                ~people.known_email() & people.known_phone(),
            ),
        ]
    ).sort("person_id", "source", "source_customer_id")
