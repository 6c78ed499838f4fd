"""Rules of survivorship: what a user may write, and what is said of the rest."""

import duckdb
import pytest

import flows
from pipeline.transform.survivorship import SurvivorshipError, attributes, define_survivorship, load_survivorship

SOURCES = {"crm", "shop", "NO"}


def load(tmp_path, text):
    (tmp_path / "survivorship.yaml").write_text(text, encoding="utf-8")
    return load_survivorship(tmp_path, SOURCES)


def test_without_a_file_of_the_user_ours_holds_and_rules_every_attribute(tmp_path):
    ours = load_survivorship(tmp_path / "nowhere", SOURCES)
    assert ours.trust == ("crm", "shop")
    assert list(ours.rules) == attributes()
    assert (ours.rules["birth_date"], ours.rules["loyalty_tier"]) == ("most_trusted", "most_recent")


def test_the_users_keys_win_one_by_one(tmp_path):
    mine = load(tmp_path, "trust: [NO, crm]\nattributes: {gender: most_recent, wechat: most_trusted}")
    assert mine.trust == ("NO", "crm")
    assert (mine.rules["gender"], mine.rules["wechat"]) == ("most_recent", "most_trusted")
    # not mentioned: as ours say
    assert (mine.rules["birth_date"], mine.rules["occupation"]) == ("most_trusted", "most_recent")
    assert load(tmp_path, "default: most_complete\nattributes:").rules["occupation"] == "most_complete"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trusted: [crm]", 'survivorship.yaml: unknown key "trusted"; did you mean "trust"?'),
        ("trust: crm", "survivorship.yaml: trust: must be a list of sources, such as [crm, shop]"),
        ("trust: [crm, shop, crm]", 'trust: "crm" stands twice; keep the place that it shall have'),
        ("trust: [cmr]", 'trust: no layout has the source "cmr"; did you mean "crm"?'),
        ("trust: [sap]", 'trust: no layout has the source "sap"; one of NO, crm, shop'),
        ("default: newest", 'default: unknown rule "newest"; one of most_recent, most_trusted, most_complete'),
        ("default: [most_recent]", "default: unknown rule \"['most_recent']\""),
        ("attributes: [gender]", "attributes: must hold `attribute: rule` lines, such as gender: most_trusted"),
        ("attributes: {gendre: most_recent}", 'attributes: unknown attribute "gendre"; did you mean "gender"?'),
        ("attributes: {birth_year: most_recent}", 'unknown attribute "birth_year"; did you mean "birth_date"?'),
        ("attributes: {registered_at: most_recent}", 'attributes: unknown attribute "registered_at"; one of'),
        ("attributes: {city: most_recent}", "city comes with the rest of the place; write place: most_recent"),
        ("attributes: {gender: most_recnt}", 'gender: unknown rule "most_recnt"; did you mean "most_recent"?'),
        ("attributes: {gender: }", 'attributes: gender: unknown rule ""'),
        ("- crm", "must hold trust:, default: or attributes:"),
        ("", "must hold trust:, default: or attributes:"),
        ("trust: [crm", "survivorship.yaml: not readable as YAML"),
    ],
)
def test_errors_name_the_key_and_the_mend(tmp_path, text, message):
    with pytest.raises(SurvivorshipError) as error:
        load(tmp_path, text)
    assert message in str(error.value)


def test_a_file_that_is_not_utf_8(tmp_path):
    (tmp_path / "survivorship.yaml").write_bytes("trust: [会员]".encode("gb18030"))
    with pytest.raises(SurvivorshipError, match="not UTF-8 .byte 8.; save it as UTF-8"):
        load_survivorship(tmp_path, SOURCES)


def test_a_night_with_wrong_rules_does_not_start(tmp_path, capsys):
    (tmp_path / "identity").mkdir()
    (tmp_path / "identity" / "survivorship.yaml").write_text("defualt: most_recent")
    assert flows.main(["nightly", "--data-dir", str(tmp_path)]) == 2
    assert 'survivorship.yaml: unknown key "defualt"; did you mean "default"?' in capsys.readouterr().err


def test_a_rank_is_one_column_and_a_misspelt_attribute_an_error(tmp_path):
    con = duckdb.connect()
    define_survivorship(con, load(tmp_path, "trust: [NO, crm]\nattributes: {place: most_complete}"))
    con.execute("create table ranks as select 1 as version_rank, 2 as trusted_rank, 3 as complete_rank")
    assert con.execute(
        "select survivor_rank('wechat'), survivor_rank('gender'), survivor_rank('place') from ranks"
    ).fetchall() == [(1, 2, 3)]
    plan = con.execute("explain select max(survivor_rank('gender')) from ranks").fetchall()[0][1]
    assert "trusted_rank" in plan and "version_rank" not in plan and "CASE" not in plan
    with pytest.raises(duckdb.Error, match="no survivorship rule for gendre"):
        con.execute("select survivor_rank('gendre') from ranks")
    trusts = con.execute("select source_trust(source) from (values ('NO'), ('crm'), ('o''x')) as sources (source)")
    assert trusts.fetchall() == [(2,), (1,), (0,)]
