"""What customers allow: worked rows for each rule of consent, silence, reach and the contact limits."""

from datetime import date, datetime

import duckdb
import polars as pl
import pytest

from pipeline.ingest.contracts import load_contracts
from pipeline.transform import build
from pipeline.transform.contactability import build_contactability
from tests.transform.identity_night import identify

AS_OF = date(2026, 3, 1)
CHANNELS = ("email", "sms", "call", "post", "social")
# in this business time zone a day begins when it begins in UTC
TIMEZONE = "UTC"


def at(month, day, hour=12):
    return datetime(2026, month, day, hour)


def make_consent(**overrides):
    """A stated grant of e-mail marketing on 10 January."""
    return {"entity": "consents", "purpose": "marketing", "channel": "email", "status": "granted"} | (
        {"captured_at": at(1, 10)} | overrides
    )


def make_record(**overrides):
    """A CRM record as it was on 5 January."""
    return {"entity": "customers", "updated_at": at(1, 5), "email": "li@example.com"} | overrides


def make_interaction(**overrides):
    """An e-mail that the customer unsubscribed with on 1 February."""
    return {"entity": "interactions", "channel": "email", "direction": "inbound", "kind": "unsubscribed"} | (
        {"occurred_at": at(2, 1)} | overrides
    )


def make_night(folder, *rows, as_of=AS_OF, **rules):
    """Core, facts and contactability of customers c1, c2 ... (c1 unless a row says otherwise)."""
    by_entity = {}
    for number, row in enumerate(rows):
        row = {"customer_key": "c1", "observed_at": at(4, 1), "source": "crm", "file_id": "f"} | row
        row |= {"source_customer_id": row["customer_key"], "file_record": number}
        entity = row.pop("entity")
        key = load_contracts()[entity].key[0]
        by_entity.setdefault(entity, []).append({key: f"n{number}"} | row)
    con = duckdb.connect()
    con.execute("attach ':memory:' as vault")
    con.execute("attach ':memory:' as work")
    con.execute("set search_path = 'memory.main,work.main'")
    build.set_night(con, as_of, TIMEZONE, **rules)
    paths = {entity: [_land(folder, entity, landed)] for entity, landed in by_entity.items()}
    identify(con, paths, as_of, TIMEZONE)
    build.build_contacts(con)
    build.build_core(con, _ignore)
    build.build_facts(con, as_of, TIMEZONE, [], 100, _ignore)
    build_contactability(con, _ignore)
    return con


def _land(folder, entity, rows):
    columns = load_contracts()[entity].landed_columns()
    folder.mkdir(exist_ok=True)
    path = folder / f"{entity}.parquet"
    con = duckdb.connect()
    con.register("given", pl.DataFrame(rows, infer_schema_length=None))
    typed = (
        f"{name if name in {*rows[0]}.union(*rows) else 'null'}::{kind} as {name}" for name, kind in columns.items()
    )
    con.execute(f"copy (select {', '.join(typed)} from given) to '{path}'")
    return path


def _ignore(name, rows):
    pass


def held(con, channel="email", purpose="marketing", customer_key="c1"):
    """(is_allowed, reason, since) of what holds by consent alone."""
    return con.execute(
        "select is_allowed, reason, since from consents_held join core.customer_sources using (customer_id)"
        " where source_customer_id = ? and channel = ? and purpose = ?",
        [customer_key, channel, purpose],
    ).fetchone()


def contact(con, channel="email", purpose="marketing", customer_key="c1"):
    """(is_allowed, reason, since) of marts.contactability."""
    return con.execute(
        "select is_allowed, reason, since from marts.contactability join core.customer_sources using (customer_id)"
        " where source_customer_id = ? and channel = ? and purpose = ?",
        [customer_key, channel, purpose],
    ).fetchone()


GRANTED = make_consent()
REFUSED_LATER = make_consent(status="refused", captured_at=at(1, 20))
UNSUBSCRIBED = make_interaction()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([GRANTED], (True, "granted", at(1, 10))),
        ([GRANTED, REFUSED_LATER], (False, "refused", at(1, 20))),
        # the latest word holds, not whether it was ever true
        ([REFUSED_LATER, GRANTED, make_consent(captured_at=at(1, 30))], (True, "granted", at(1, 30))),
        # at the same time the refusal holds, and among refusals the harder one
        ([GRANTED, make_consent(status="refused")], (False, "refused", at(1, 10))),
        ([make_consent(status="refused", captured_at=at(2, 1)), UNSUBSCRIBED], (False, "opted_out", at(2, 1))),
        # a word on any channel is one on each, and the other way round it is not
        (
            [GRANTED, make_consent(channel="any", status="refused", captured_at=at(1, 20))],
            (False, "refused", at(1, 20)),
        ),
        ([make_consent(channel="any")], (True, "granted", at(1, 10))),
        ([make_consent(channel="sms")], (False, "silence", None)),
        ([GRANTED, make_consent(channel="sms", status="refused", captured_at=at(1, 20))], (True, "granted", at(1, 10))),
        ([make_consent(purpose="service")], (False, "silence", None)),
        # nobody knows when it was said: a refusal always holds, a grant counts from the night that first saw it
        ([GRANTED, make_consent(status="refused", captured_at=None)], (False, "refused", None)),
        ([make_consent(captured_at=None, observed_at=at(2, 20))], (True, "granted", at(2, 20))),
        ([make_consent(captured_at=None, observed_at=at(3, 1))], (False, "silence", None)),
        ([GRANTED, UNSUBSCRIBED], (False, "opted_out", at(2, 1))),
        ([GRANTED, UNSUBSCRIBED, make_consent(captured_at=at(2, 2))], (True, "granted", at(2, 2))),
        # a day that is not over counts nothing
        ([GRANTED, make_consent(status="refused", captured_at=at(3, 1, hour=0))], (True, "granted", at(1, 10))),
    ],
)
def test_the_latest_word_holds(tmp_path, words, expected):
    assert held(make_night(tmp_path, *words)) == expected


def test_customer_facts_say_what_holds(tmp_path):
    con = make_night(tmp_path, make_consent(channel="any"), make_interaction(channel="sms"))
    facts = con.execute(
        "select is_email_marketing_allowed, is_sms_marketing_allowed, is_marketing_allowed, is_profiling_allowed"
        " from marts.customer_facts"
    ).fetchall()
    assert facts == [(True, False, True, True)]


ALLOWED = make_record(email_marketing_allowed=True)
FORBIDDEN = make_record(email_marketing_allowed=False)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([ALLOWED], (True, "granted", at(1, 5))),
        ([make_record(marketing_allowed=True)], (True, "granted", at(1, 5))),
        ([FORBIDDEN], (False, "refused", at(1, 5))),
        ([make_record(email_marketing_allowed=None)], (False, "silence", None)),
        # a record that is edited later does not say its old flag again
        ([ALLOWED, UNSUBSCRIBED, ALLOWED | {"updated_at": at(2, 20)}], (False, "opted_out", at(2, 1))),
        # nor after a version that leaves it empty
        (
            [
                ALLOWED,
                UNSUBSCRIBED,
                make_record(updated_at=at(2, 10), email_marketing_allowed=None),
                ALLOWED | {"updated_at": at(2, 20)},
            ],
            (False, "opted_out", at(2, 1)),
        ),
        # but a flag that was taken back and set again is a new word
        (
            [ALLOWED, FORBIDDEN | {"updated_at": at(1, 25)}, UNSUBSCRIBED, ALLOWED | {"updated_at": at(2, 20)}],
            (True, "granted", at(2, 20)),
        ),
        ([FORBIDDEN, GRANTED, FORBIDDEN | {"updated_at": at(2, 20)}], (True, "granted", at(1, 10))),
        # nobody knows since when the only version says so: its yes is as old as the record ...
        (
            [ALLOWED | {"registered_at": at(1, 1), "updated_at": at(2, 20)}, UNSUBSCRIBED],
            (False, "opted_out", at(2, 1)),
        ),
        # ... and its no as young as the edit
        ([FORBIDDEN | {"registered_at": at(1, 1), "updated_at": at(2, 20)}, GRANTED], (False, "refused", at(2, 20))),
        # what a record says from its second version on is no older than that version is known
        (
            [make_record(), ALLOWED | {"updated_at": at(2, 20), "registered_at": at(1, 1)}, UNSUBSCRIBED],
            (False, "opted_out", at(2, 1)),
        ),
        # another record of the same customer has a say too
        (
            [ALLOWED, FORBIDDEN | {"source": "shop", "customer_key": "u1", "updated_at": at(2, 3)}],
            (False, "refused", at(2, 3)),
        ),
    ],
)
def test_flags_on_records_count_from_the_start_of_their_run(tmp_path, words, expected):
    # the same key stands once in a file: the versions come from as many files
    words = [
        word | ({"source_customer_id": "c1", "file_id": f"f{number}"} if word["entity"] == "customers" else {})
        for number, word in enumerate(words)
    ]
    assert held(make_night(tmp_path, *words)) == expected


@pytest.mark.parametrize(
    ("interaction", "channel", "reason"),
    [
        (make_interaction(kind="Hard Bounce"), "email", "silence"),
        (make_interaction(kind="List-Unsubscribe", outcome="Opted out"), "email", "opted_out"),
        (make_interaction(kind="SPAM-complaint"), "email", "complained"),
        (make_interaction(kind="call", channel="call", outcome="do_not_call"), "call", "do_not_call"),
        # who says on the phone that no letters are wanted speaks of letters
        (make_interaction(kind="call", channel="call", outcome="do_not_mail"), "post", "opted_out"),
        (make_interaction(kind="message", channel="sms", outcome="STOP"), "sms", "opted_out"),
        # over a channel that is none of the five: of all
        (make_interaction(channel="web"), "post", "opted_out"),
        (make_interaction(channel=None), "sms", "opted_out"),
        (make_interaction(kind="complaint", outcome="complained"), "email", "silence"),
    ],
)
def test_opt_outs_in_interactions_refuse_marketing_on_their_channel(tmp_path, interaction, channel, reason):
    con = make_night(tmp_path, interaction)
    assert held(con, channel) == (False, reason, None if reason == "silence" else at(2, 1))
    assert held(con, channel, "service") == (True, "silence", None)
    if interaction["channel"] in CHANNELS:
        others = {other: held(con, other)[1] for other in CHANNELS if other != channel}
        assert set(others.values()) == {"silence"}


def test_an_opt_out_without_a_time_always_holds(tmp_path):
    opt_out = make_interaction(occurred_at=None, campaign_id="unknown campaign")
    assert held(make_night(tmp_path, make_consent(captured_at=at(2, 28)), opt_out)) == (False, "opted_out", None)


def test_silence_is_as_the_settings_say(tmp_path):
    con = make_night(tmp_path, make_record())
    silent = {purpose: held(con, channel, purpose)[:2] for purpose, channel in PURPOSES}
    assert silent == {
        "service": (True, "silence"),
        "marketing": (False, "silence"),
        "profiling": (True, "silence"),
        "sharing": (False, "silence"),
    }
    con = make_night(tmp_path, make_record(), consent_when_silent={"profiling": False, "marketing": True})
    assert {purpose: held(con, channel, purpose)[0] for purpose, channel in PURPOSES} == {
        "service": True,
        "marketing": True,
        "profiling": False,
        "sharing": False,
    }
    allowed = "select is_email_marketing_allowed, is_profiling_allowed from marts.customer_facts"
    assert con.execute(allowed).fetchall() == [(True, False)]


PURPOSES = (("service", "email"), ("marketing", "email"), ("profiling", "any"), ("sharing", "any"))


def test_nothing_dated_after_as_of_changes_what_holds(tmp_path):
    before = [
        make_record(registered_at=at(1, 1), email_marketing_allowed=True),
        make_consent(channel="sms"),
        make_record(customer_key="c2", email="he@example.com"),
        make_interaction(customer_key="c2", kind="sent", direction="outbound"),
    ]
    later = [
        make_consent(status="refused", captured_at=at(3, 2)),
        make_consent(channel="any", customer_key="c2", captured_at=at(3, 2)),
        make_record(registered_at=at(1, 1), updated_at=at(3, 2), email_marketing_allowed=False),
        make_record(customer_key="c2", updated_at=at(3, 2), email="he@example.com", profiling_allowed=False),
        make_interaction(occurred_at=at(3, 1, hour=0)),
        make_interaction(customer_key="c2", kind="bounced", occurred_at=at(3, 1, hour=0)),
        make_interaction(customer_key="c2", kind="sent", direction="outbound", occurred_at=at(3, 1, hour=0)),
    ]
    rows = "select * exclude (customer_id) from {} order by all"
    limit = {"contact_limits": [("email", 2, 30)]}
    first, second = make_night(tmp_path, *before, **limit), make_night(tmp_path, *before, *later, **limit)
    for table in ("consents_held", "marts.contactability"):
        assert first.execute(rows.format(table)).fetchall() == second.execute(rows.format(table)).fetchall()
    assert held(second)[:2] == (True, "granted") and held(second, customer_key="c2")[1] == "silence"


def test_a_first_version_that_is_known_only_later_can_forbid_but_not_allow(tmp_path):
    known_later = {"registered_at": at(1, 1), "updated_at": at(3, 10)}
    con = make_night(tmp_path, make_record(**known_later, email_marketing_allowed=True))
    assert held(con) == (False, "silence", None)
    con = make_night(tmp_path, make_record(**known_later, email_marketing_allowed=False), GRANTED)
    assert held(con) == (False, "refused", None)


def test_every_customer_has_a_row_per_channel_and_purpose(tmp_path):
    con = make_night(tmp_path, make_record(), make_record(customer_key="c2", email="he@example.com"), GRANTED)
    rows = con.execute(
        "select count(*), count(distinct (customer_id, channel, purpose)) from marts.contactability"
    ).fetchone()
    assert rows == (2 * 12, 2 * 12)
    uses = con.execute("select distinct purpose, channel from marts.contactability").fetchall()
    assert set(uses) == {(purpose, channel) for purpose in ("marketing", "service") for channel in CHANNELS} | {
        ("profiling", "any"),
        ("sharing", "any"),
    }


def test_the_words_have_a_key(tmp_path):
    con = make_night(
        tmp_path,
        make_record(email_marketing_allowed=True, profiling_allowed=False),
        make_interaction(kind="unsubscribed", outcome="spam"),
        make_consent(consent_id="n1"),
    )
    words = con.execute(
        "select origin, consent_id, reason, source_customer_id from core.consents order by all"
    ).fetchall()
    assert words == [
        ("interaction", "n1:complained:email", "complained", "c1"),
        ("interaction", "n1:opted_out:email", "opted_out", "c1"),
        ("record_flag", "c1:marketing:email:1", "granted", "c1"),
        ("record_flag", "c1:profiling:any:1", "refused", "c1"),
        ("stated", "n1", "granted", "c1"),
    ]


BOUNCED = make_interaction(kind="bounced")


@pytest.mark.parametrize(
    ("rows", "marketing", "service"),
    [
        ([GRANTED, BOUNCED], (False, "bounced", at(2, 1)), "bounced"),
        # the customer took nothing back: consent stands, and a sign that the address works is enough
        (
            [GRANTED, BOUNCED, make_interaction(kind="opened", occurred_at=at(2, 5))],
            (True, "granted", at(1, 10)),
            "silence",
        ),
        ([GRANTED, BOUNCED, make_interaction(kind="opened")], (False, "bounced", at(2, 1)), "bounced"),
        # so is a new grant on this channel, since it came with an address
        ([BOUNCED, make_consent(captured_at=at(2, 5))], (True, "granted", at(2, 5)), "silence"),
        ([make_consent(channel="any", captured_at=at(2, 5)), BOUNCED], (False, "bounced", at(2, 1)), "bounced"),
        ([GRANTED, make_interaction(kind="soft bounced")], (True, "granted", at(1, 10)), "silence"),
        ([GRANTED, make_interaction(kind="bounced", channel="sms")], (True, "granted", at(1, 10)), "silence"),
        ([GRANTED, make_interaction(kind="bounced", channel=None)], (False, "bounced", at(2, 1)), "bounced"),
        # refused is refused, however the mail fares
        ([UNSUBSCRIBED, BOUNCED], (False, "opted_out", at(2, 1)), "bounced"),
    ],
)
def test_a_bounce_makes_the_channel_unreachable_until_a_sign_of_life(tmp_path, rows, marketing, service):
    con = make_night(tmp_path, make_record(), *rows)
    assert contact(con) == marketing
    assert contact(con, purpose="service")[1] == service
    assert held(con)[1] != "bounced"


def test_nobody_is_reached_at_an_address_that_is_not_known(tmp_path):
    con = make_night(
        tmp_path,
        make_record(phone="+8613800138000"),
        make_record(customer_key="c2", email=None, phone="+8613800138001"),
        make_consent(customer_key="c2", channel="any"),
    )
    assert contact(con, customer_key="c2") == (False, "no_address", None)
    assert contact(con, purpose="service", customer_key="c2") == (False, "no_address", None)
    assert (
        contact(con, "sms", customer_key="c2")[:2] == contact(con, "call", customer_key="c2")[:2] == (True, "granted")
    )
    placeholder = make_record(customer_key="c2", email="info@example.com", phone="+8613800000000")
    nobody = make_night(tmp_path / "nobody", make_record(), placeholder, make_consent(customer_key="c2", channel="any"))
    assert contact(nobody, purpose="service", customer_key="c2")[:2] == (False, "no_address")
    # no source tells anybody's postal address: other tools hold them
    assert contact(con, "post", customer_key="c2")[:2] == (True, "granted")


@pytest.mark.parametrize(
    "later",
    [
        make_record(customer_key="c2", updated_at=at(6, 1), email="wang@example.com"),
        make_record(entity="orders", customer_key="c2", ordered_at=at(6, 1), email="wang@example.com"),
    ],
)
def test_an_address_that_became_known_later_reaches_nobody_before(tmp_path, later):
    known = [
        make_record(),
        make_record(customer_key="c2", email=None, phone="+8613800138001"),
        make_consent(customer_key="c2"),
    ]
    assert contact(make_night(tmp_path, *known), customer_key="c2") == (False, "no_address", None)
    assert contact(make_night(tmp_path, *known, later), customer_key="c2") == (False, "no_address", None)
    con = make_night(tmp_path, *known, later, as_of=date(2026, 6, 2))
    assert contact(con, customer_key="c2") == (True, "granted", at(1, 10))


def test_who_is_deleted_everywhere_is_neither_contacted_nor_profiled(tmp_path):
    con = make_night(tmp_path, make_record(deleted=True), make_consent(channel="any"))
    assert con.execute("select distinct is_allowed, reason, since from marts.contactability").fetchall() == [
        (False, "deleted", None)
    ]
    facts = "select is_marketing_allowed, is_profiling_allowed from marts.customer_facts"
    assert con.execute(facts).fetchall() == [(False, False)]


def sent(day, **overrides):
    return make_interaction(kind="sent", direction="outbound", occurred_at=at(2, day)) | overrides


@pytest.mark.parametrize(
    ("limits", "contacts", "limited"),
    [
        ([], [sent(20), sent(21), sent(22)], ""),
        ([("email", 3, 30)], [sent(20), sent(21)], ""),
        ([("email", 3, 30)], [sent(20), sent(21), sent(22)], "email"),
        # 7 days back from 1 March is 22 February, 00:00
        ([("email", 2, 7)], [sent(21), sent(22)], ""),
        ([("email", 2, 7)], [sent(22), sent(22)], "email"),
        ([("email", 2, 7)], [sent(22), sent(22, channel="sms")], ""),
        ([("any", 2, 7)], [sent(22), sent(22, channel="sms")], "call email post sms social"),
        ([("any", 2, 7)], [sent(22), sent(22, channel="event")], "call email post sms social"),
        ([("any", 3, 7), ("sms", 1, 7)], [sent(22), sent(22, channel="sms")], "sms"),
        # the customer's own, and reports of a message, are no contacts; a call that was answered is one
        ([("email", 2, 7)], [sent(22), sent(23, direction="inbound")], ""),
        ([("email", 2, 7)], [sent(22), sent(22, kind="delivered")], ""),
        ([("email", 2, 7)], [sent(22), sent(22, kind=None)], "email"),
        ([("call", 1, 7)], [sent(22, channel="call", kind="call", outcome="answered")], "call"),
    ],
)
def test_who_had_as_many_contacts_as_the_limit_gets_no_more_marketing(tmp_path, limits, contacts, limited):
    record = make_record(phone="+8613800138000")
    con = make_night(tmp_path, record, make_consent(channel="any"), *contacts, contact_limits=limits)
    found = {channel for channel in CHANNELS if contact(con, channel)[1] == "contact_limit"}
    assert found == set(limited.split())
    assert {contact(con, channel)[0] for channel in CHANNELS if channel not in found} <= {True}
    assert all(contact(con, channel) == (False, "contact_limit", contacts[-1]["occurred_at"]) for channel in found)
    assert {contact(con, channel, "service")[1] for channel in CHANNELS} == {"silence"}
    assert all(held(con, channel)[0] for channel in CHANNELS)


def test_an_earlier_cut_off_knows_only_what_was_said_by_then(tmp_path):
    words = [make_record(), GRANTED, UNSUBSCRIBED]
    allowed = [held(make_night(tmp_path, *words, as_of=day))[0] for day in (date(2026, 1, 10), date(2026, 1, 11))]
    assert allowed == [False, True]
    assert held(make_night(tmp_path, *words, as_of=date(2026, 2, 1)))[0]
    assert not held(make_night(tmp_path, *words, as_of=date(2026, 2, 2)))[0]
