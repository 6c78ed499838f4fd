"""Settings: what is written, what the environment says, and what cannot be."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.settings import Settings, SettingsError, contact_limits, read_settings
from pipeline.settings import __file__ as settings_file
from pipeline.transform.contactability import SILENCE


def settings_of(tmp_path, text, environment=None):
    (tmp_path / "settings.toml").write_text(text, encoding="utf-8")
    return read_settings(tmp_path, environment or {})


def test_without_a_file_every_setting_has_its_default(tmp_path):
    assert read_settings(tmp_path, {}) == Settings(data_dir=tmp_path.resolve())


def test_a_file_and_the_environment_which_wins(tmp_path):
    text = '\ufefflanguage = "en"\nseed = 7\n'
    settings = settings_of(tmp_path, text, {"CUSTOMER_PIPELINE_SEED": "8", "SEED": "9"})
    assert (settings.language, settings.seed) == ("en", 8)


def test_a_switch_in_the_environment_is_read_as_written(tmp_path):
    for text, is_on in {"true": True, "False": False}.items():
        assert settings_of(tmp_path, "", {"CUSTOMER_PIPELINE_HOLD_SEGMENT_JUMPS": text}).hold_segment_jumps is is_on


def test_rules_of_contact(tmp_path):
    text = '[consent_when_silent]\nprofiling = false\n[contact_limits]\nany = "8 per 30d"\nsms = "1 per 7d"\n'
    settings = settings_of(tmp_path, text)
    assert settings.consent_when_silent == {"profiling": False}
    assert contact_limits(settings) == [("any", 8, 30), ("sms", 1, 7)]
    assert contact_limits(read_settings(tmp_path / "none", {})) == []


def test_the_example_holds_the_defaults(tmp_path):
    example = Path(settings_file).parents[1] / "data" / "settings.example.toml"
    (tmp_path / "settings.toml").write_text(example.read_text(encoding="utf-8"), encoding="utf-8")
    found = read_settings(tmp_path, {})
    assert found.consent_when_silent == SILENCE
    assert replace(found, consent_when_silent={}) == Settings(data_dir=tmp_path.resolve())


def test_folders_stand_in_the_data_folder_and_the_key_beside_it(tmp_path):
    settings = read_settings(tmp_path / "shop", {})
    assert settings.inbox == tmp_path / "shop" / "inbox"
    assert settings.pseudonym_key_file == tmp_path / "shop.key"


def test_a_whole_number_is_a_number(tmp_path):
    assert settings_of(tmp_path, "psi_warning = 1").psi_warning == 1.0


@pytest.mark.parametrize(
    ("text", "environment", "message"),
    [
        ('langauge = "en"', {}, 'settings.toml: unknown setting "langauge"; did you mean "language"?'),
        ("zzz = 1", {}, 'settings.toml: unknown setting "zzz"; known settings: business_timezone'),
        ('data_dir = "/elsewhere"', {}, 'settings.toml: unknown setting "data_dir"'),
        ('[night]\nlanguage = "en"', {}, 'settings.toml: unknown setting "night"'),
        ('seed = "7"', {}, "settings.toml: \"seed\" must be int, not str ('7')"),
        ("discount_rate_yearly = 10.0", {}, '"discount_rate_yearly" is 10.0; write a share from 0.0'),
        ("seed = 7.0", {}, 'settings.toml: "seed" must be int, not float (7.0)'),
        ("seed = true", {}, 'settings.toml: "seed" must be int, not bool (True)'),
        ("language = 1", {}, 'settings.toml: "language" must be str, not int (1)'),
        ("seed = ", {}, "settings.toml: not readable as TOML"),
        ('language = "fr"', {}, 'settings.toml: language "fr" is not there; write "zh" or "en"'),
        (
            "",
            {"CUSTOMER_PIPELINE_LANGUAGE": "fr"},
            'environment CUSTOMER_PIPELINE_LANGUAGE: language "fr" is not there',
        ),
        ('storage_version = "v9"', {}, 'settings.toml: storage_version "v9" is none that DuckDB'),
        ('storage_version = "v1\'"', {}, "is none that DuckDB"),
        ('business_timezone = "Asia/Peking"', {}, 'settings.toml: business_timezone "Asia/Peking" is no IANA'),
        ('business_timezone = "../etc/passwd"', {}, "is no IANA time zone"),
        ('reporting_currency = "yuan"', {}, "write an ISO 4217 code"),
        ('phone_country_code = "+86"', {}, 'write digits only, such as "86"'),
        ("churn_horizon_days = 5", {}, '"churn_horizon_days" is 5; write 7 to 365, or 0 to have it estimated'),
        ("train_every_days = 100000", {}, '"train_every_days" is 100000; it must be 365 or less'),
        ("churn_horizon_days = -1", {}, '"churn_horizon_days" is -1; it must be 0 or more'),
        (
            "segment_jump_limit = 0.0",
            {},
            '"segment_jump_limit" is 0.0; write a share of customers above 0, at most 1.0',
        ),
        ("segment_jump_limit = 1.5", {}, '"segment_jump_limit" is 1.5'),
        ("", {"CUSTOMER_PIPELINE_HOLD_SEGMENT_JUMPS": "yes"}, 'HOLD_SEGMENT_JUMPS="yes": must be bool'),
        ("seed = -1", {}, '"seed" is -1; it must be 0 or more'),
        ("psi_warning = 0", {}, 'settings.toml: "psi_warning" is 0.0; write a number above 0, such as 0.25'),
        ("realised_gap_warning = nan", {}, '"realised_gap_warning" is nan; write a number above 0'),
        ("daily_snapshots = 0", {}, '"daily_snapshots" is 0; it must be 1 or more'),
        ('memory_limit = "4 gigs"', {}, 'memory_limit "4 gigs"; write a size such as "4GiB"'),
        (
            "[consent_when_silent]\nprofiling = 0",
            {},
            "consent_when_silent: profiling = 0; write true or false for one of",
        ),
        ("[consent_when_silent]\nmailing = true", {}, "consent_when_silent: mailing = True; write true or false"),
        ("consent_when_silent = true", {}, '"consent_when_silent" must be dict, not bool (True)'),
        ('[contact_limits]\nemail = "four a month"', {}, "contact_limits: email = 'four a month'; write such as"),
        ('[contact_limits]\nemail = "0 per 30d"', {}, "contact_limits: email = '0 per 30d'; write such as"),
        (
            "[contact_limits]\nemail = 4",
            {},
            'contact_limits: email = 4; write such as "4 per 30d" for one of email, sms',
        ),
        ('[contact_limits]\npigeon = "4 per 30d"', {}, "contact_limits: pigeon = '4 per 30d'; write such as"),
        ("", {"CUSTOMER_PIPELINE_SEED": "many"}, 'environment CUSTOMER_PIPELINE_SEED="many": must be int'),
        ("", {"CUSTOMER_PIPELINE_LANGAUGE": "en"}, "environment: unknown setting CUSTOMER_PIPELINE_LANGAUGE"),
    ],
)
def test_what_cannot_be_is_said_with_its_mend(tmp_path, text, environment, message):
    with pytest.raises(SettingsError) as error:
        settings_of(tmp_path, text, environment)
    assert message in str(error.value)


def test_what_duckdb_can_write_is_a_storage_version(tmp_path):
    for version in ("v1.0.0", "latest"):
        assert settings_of(tmp_path, f'storage_version = "{version}"').storage_version == version


def test_a_file_that_is_not_utf_8(tmp_path):
    (tmp_path / "settings.toml").write_bytes('language = "中"'.encode("gbk"))
    with pytest.raises(SettingsError, match="not readable as TOML"):
        read_settings(tmp_path, {})


DATABASE = {"name": '"shop"', "url": '"SHOP_DATABASE_URL"', "table": '"orders"', "entity": '"orders"'}


def database(**overrides):
    lines = [f"{key} = {value}" for key, value in (DATABASE | overrides).items() if value]
    return "\n".join(["[[database]]", *lines, ""])


def test_databases_are_a_list_of_tables(tmp_path):
    settings = settings_of(tmp_path, database() + database(name='"crm"', pull="false", timeout_minutes="5"))
    assert [entry["name"] for entry in settings.database] == ["shop", "crm"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (database(tabel='"x"'), 'unknown "tabel"; did you mean "table"?'),
        (database(name=None), "number 1: name is missing"),
        (database(url=None), "number 1: url is missing; write the name of an environment variable"),
        (database(url='"mysql://u:s3cret@host/x"'), "url must be the name of an environment variable"),
        (database(name='"mysql://u:s3cret@host/x"'), "name can have letters"),
        (database(query='"select 1"'), "shop: needs one of table and query"),
        (database(table=None), "shop: needs one of table and query"),
        (database(layout='"my_orders"'), "shop: needs one of layout and entity"),
        (database(entity=None), "shop: needs one of layout and entity"),
        (database(table=None, query='"select 1"', schema='"s3cret"'), "schema goes with table only"),
        (database(entity=None, layout='"l"', timezone='"UTC"'), "timezone goes with entity only"),
        (database(timezone='"s3cret"'), "timezone is no IANA time zone"),
        (database(timeout_minutes="0"), "timeout_minutes must be 1 or more"),
        (database(timeout_minutes='"s3cret"'), "timeout_minutes must be a whole number"),
        (database(pull='"s3cret"'), "pull must be true or false"),
        (database(cursor='""'), "cursor must be a text"),
        (database() + database(name='"Shop"'), 'two entries are named "shop"'),
        ('database = "mysql://u:s3cret@host/x"', r"\[\[database\]\]"),
        ('database = ["mysql://u:s3cret@host/x"]', r"\[\[database\]\]"),
    ],
)
def test_a_database_that_cannot_be_is_refused_without_its_values(tmp_path, text, message):
    with pytest.raises(SettingsError, match=message) as refused:
        settings_of(tmp_path, text)
    assert "s3cret" not in str(refused.value)


def test_databases_do_not_come_from_the_environment(tmp_path):
    with pytest.raises(SettingsError, match="write it in settings.toml") as refused:
        read_settings(tmp_path, {"CUSTOMER_PIPELINE_DATABASE": "mysql://u:s3cret@host/x"})
    assert "s3cret" not in str(refused.value)
