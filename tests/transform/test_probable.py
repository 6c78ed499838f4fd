"""Probable links over nights: what was accepted stays, a decision parts it."""

import random
from datetime import date, datetime
from importlib.util import find_spec

import pytest

from pipeline.transform.identity_rules import Decision, load_rules
from tests.transform.identity_night import Nights, record

pytestmark = pytest.mark.skipif(find_spec("splink") is None, reason="the extra splink is not installed")

SYLLABLES = ["ba", "do", "fi", "ga", "hu", "ki", "lo", "mi", "na", "pe", "ro", "su", "ta", "vo", "wi", "ze"]


def people(count):
    """Records of a CRM and, for every second person, one of a shop with a typing error and no shared identifier."""
    rng, rows = random.Random(7), []
    for number in range(count):
        given, surname = ("".join(rng.choices(SYLLABLES, k=3)) for _ in range(2))
        told = {
            "given_name": given,
            "surname": surname,
            "birth_date": date(1950 + rng.randrange(50), 1 + rng.randrange(12), 1 + rng.randrange(28)),
            "postal_code": str(10000 + rng.randrange(300)),
        }
        rows.append(record("crm", f"c{number}", registered_at=datetime(2025, 1, 1), **told))
        if number % 2:
            typed = told | {"surname": surname[:-1] + "x"}
            rows.append(record("shop", f"s{number}", registered_at=datetime(2025, 6, 1), **typed))
    return rows


def test_what_was_accepted_stays_until_a_decision_parts_it():
    rules = load_rules()
    rules["probable"] = rules["probable"] | {"enabled": True}
    rows, nights = people(160), Nights()
    first = nights.run(rows, rules=rules, as_of=date(2026, 5, 1))
    joined = [number for number in range(1, 160, 2) if first["crm", f"c{number}"] == first["shop", f"s{number}"]]
    assert len(joined) > 70 and len(set(first.values())) == 240 - len(joined)
    # each is one from when both records were there
    then = nights.then(date(2025, 6, 1))
    assert all(then["crm", f"c{number}"] != then["shop", f"s{number}"] for number in joined)
    # fewer people give other weights; what was accepted stays
    fewer = [row for row in rows if int(row["customer_key"][1:]) < 120]
    second = nights.run(fewer, rules=rules, as_of=date(2026, 5, 2))
    assert second == {key: first[key] for key in second}
    apart = Decision(2, False, ("crm", f"c{joined[0]}"), ("shop", f"s{joined[0]}"), date(2026, 5, 1))
    third = nights.run(fewer, rules=rules, decisions=[apart], as_of=date(2026, 5, 3))
    assert third["crm", f"c{joined[0]}"] != third["shop", f"s{joined[0]}"]
    assert (
        nights.con.sql(
            "select count(*) from links where linked_by = 'probable' and weight > 0 and explanation <> ''"
        ).fetchall()[0][0]
        == sum(number < 120 for number in joined) - 1
    )
