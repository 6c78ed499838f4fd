"""Codes of the places that golden records name: work.place_codes, and core.regions with the names of every code."""

import polars as pl

from pipeline.ingest.places import city_code, country_code, province_code, regions
from pipeline.warehouse import frame, write_frame

PLACE_CODES = dict.fromkeys(("country", "province", "city", "country_code", "province_code", "city_code"), pl.String)


def build_regions(con) -> None:
    """core.regions, and work.place_codes: one row per country, province and city as written together, with their codes."""
    write_frame(con, "core.regions", regions())
    written = frame(
        con,
        "select distinct country, province, city from golden_records"
        " where coalesce(country, province, city) is not null order by all",
    )
    write_frame(con, "work.place_codes", pl.DataFrame(list(map(_codes, written.rows())), PLACE_CODES, orient="row"))


def _codes(place):
    """What is written of a place, and its codes; null for a word that is none. A province or city alone tells its country."""
    written_country, written_province, written_city = place
    country = country_code(written_country)
    known = country or (None if written_country else "CN")
    province = province_code(written_province, known) if known else None
    city = city_code(written_city, province, known) if known else None
    return (*place, country or (known if province or city else None), province, city)
