"""When contacts happened, and what counts of them at a cut-off."""

from datetime import date, datetime

from pipeline.transform import build
from tests.transform.small_night import AS_OF, TIMEZONE, connect, rows_of, run_night

# the campaign began in January in Shanghai, the cut-off is later in the month
BEGAN = datetime(2025, 12, 31, 16)
CUT_OFF = date(2026, 1, 15)
SEEN = datetime(2026, 2, 10, 18)


def make_interaction(name, **overrides):
    return {
        "interaction_id": name,
        "source_customer_id": "P1",
        "campaign_id": "K1",
        "observed_at": SEEN,
    } | overrides


def run(tmp_path, *interactions):
    con = connect()
    run_night(
        con,
        tmp_path,
        customers=[{"source_customer_id": "P1", "registered_at": datetime(2025, 1, 1)}],
        campaigns=[{"campaign_id": "K1", "start_on": date(2026, 1, 1), "end_on": date(2026, 1, 31)}],
        interactions=interactions,
    )
    times = dict(con.sql("select interaction_id, occurred_at from core.interactions").fetchall())
    return con, times


def test_contacts_of_ours_have_their_campaigns_first_day_and_reactions_do_not(tmp_path):
    _, times = run(
        tmp_path,
        make_interaction("letter", kind="sent", direction="outbound"),
        make_interaction("call", kind="call", direction="outbound"),
        make_interaction("anything", direction="outbound"),
        make_interaction("no words"),
        make_interaction("coupon", kind="redeemed", direction="inbound"),
        make_interaction("opened", kind="opened"),
        make_interaction("clicked", kind="Clicked", direction="outbound"),
        make_interaction("called us", kind="call", direction="inbound"),
        make_interaction("no idea", kind="conversion"),
        make_interaction("told", kind="redeemed", occurred_at=datetime(2026, 1, 20)),
    )
    assert times == dict.fromkeys(("letter", "call", "anything", "no words"), BEGAN) | dict.fromkeys(
        ("coupon", "opened", "clicked", "called us", "no idea"), SEEN
    ) | {"told": datetime(2026, 1, 20)}


def test_a_reaction_seen_again_dates_from_the_first_time(tmp_path):
    again = datetime(2026, 2, 20)
    _, times = run(
        tmp_path,
        make_interaction("coupon", kind="redeemed"),
        make_interaction("coupon", kind="redeemed", outcome="paid", observed_at=again),
    )
    assert times == {"coupon": SEEN}


def test_a_coupon_redeemed_later_does_not_count_at_an_earlier_cut_off(tmp_path):
    con, _ = run(
        tmp_path,
        make_interaction("letter", kind="sent", direction="outbound"),
        make_interaction("coupon", kind="redeemed", direction="inbound"),
    )
    build.build_facts(con, AS_OF, TIMEZONE, [CUT_OFF], 1000, lambda name, rows: None)
    counts = "select outbound_count_90d, response_count_90d from"
    assert [rows_of(con, f"{counts} {table}") for table in ("training_facts", "marts.customer_facts")] == [
        [{"outbound_count_90d": 1, "response_count_90d": 0}],
        [{"outbound_count_90d": 1, "response_count_90d": 1}],
    ]
