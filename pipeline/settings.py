"""One frozen Settings from <data>/settings.toml and the environment (CUSTOMER_PIPELINE_<NAME>, which wins)."""

import difflib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from zoneinfo import ZoneInfo, available_timezones

import duckdb

ENVIRONMENT_PREFIX = "CUSTOMER_PIPELINE_"
PURPOSES = ("service", "marketing", "profiling", "sharing")
CHANNELS = ("email", "sms", "call", "post", "social", "any")
CONTACT_LIMIT = re.compile(r"([1-9]\d{0,5}) per ([1-9]\d{0,3})d")
DATABASE_OPTIONS = {
    "name": str,
    "url": str,
    "table": str,
    "schema": str,
    "query": str,
    "layout": str,
    "entity": str,
    "source": str,
    "timezone": str,
    "cursor": str,
    "timeout_minutes": int,
    "pull": bool,
}


class SettingsError(Exception):
    """A setting is unknown or cannot be; the message names the setting, the file and the mend."""


@dataclass(frozen=True)
class Settings:
    """What the user decides. Every field is a line of settings.toml; data/settings.example.toml explains them."""

    data_dir: Path
    business_timezone: str = "Asia/Shanghai"
    reporting_currency: str = "CNY"
    language: str = "zh"
    phone_country_code: str = "86"
    max_customers_per_identifier: int = 20
    rfm_window_days: int = 0
    rfm_hold_days: int = 0
    churn_horizon_days: int = 0
    training_customers: int = 50_000
    discount_rate_yearly: float = 0.1
    seed: int = 20260101
    train_every_days: int = 7
    segment_jump_limit: float = 0.2
    hold_segment_jumps: bool = False
    psi_warning: float = 0.25
    realised_gap_warning: float = 0.2
    workbook_max_customers: int = 100_000
    daily_snapshots: int = 14
    monthly_snapshots: int = 12
    keep_raw_days: int = 0
    storage_version: str = "v1.2.0"
    memory_limit: str = "4GiB"
    threads: int = 0
    consent_when_silent: dict = field(default_factory=dict)
    contact_limits: dict = field(default_factory=dict)
    roles: dict = field(default_factory=dict)
    database: list = field(default_factory=list)

    @property
    def inbox(self):
        return self.data_dir / "inbox"

    @property
    def vault(self):
        return self.data_dir / "vault"

    @property
    def identity(self):
        return self.data_dir / "identity"

    @property
    def warehouse(self):
        return self.data_dir / "warehouse" / "warehouse.duckdb"

    @property
    def snapshots(self):
        return self.warehouse.parent / "snapshots"

    @property
    def models(self):
        return self.data_dir / "models"

    @property
    def ledger(self):
        return self.warehouse.parent / "ledger.sqlite"

    @property
    def pseudonym_key_file(self):
        """Beside the data folder, not in it: whoever copies the data does not copy the key."""
        return self.data_dir.with_name(f"{self.data_dir.name}.key")


def read_settings(data_dir: Path, environment: Mapping[str, str] = os.environ) -> Settings:
    """Settings of a data folder. Raises SettingsError on an unknown key, a wrong type or an impossible value."""
    data_dir = Path(data_dir).resolve()
    path = data_dir / "settings.toml"
    known = {one.name: one.type for one in fields(Settings) if one.name != "data_dir"}
    given = {}
    if path.exists():
        try:
            given = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingsError(f"{path.name}: not readable as TOML ({error}); mend that line") from error
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known settings: {', '.join(sorted(known))}"
            raise SettingsError(f'{path.name}: unknown setting "{name}"; {hint}')
    for variable in environment:
        name = variable.removeprefix(ENVIRONMENT_PREFIX)
        if name != variable and name.lower() not in known:
            raise SettingsError(f"environment: unknown setting {variable}; known settings: {', '.join(sorted(known))}")
    for name, kind in known.items():
        text = environment.get(ENVIRONMENT_PREFIX + name.upper())
        if text is not None:
            given[name] = _from_text(name, kind, text)
        elif kind is float and type(given.get(name)) is int:
            given[name] = float(given[name])
    for name, value in given.items():
        if name == "database" and type(value) is not list:
            # what stands there may be the URL itself
            raise SettingsError(f"{path.name}: database: write each one under a line [[database]] of its own")
        if type(value) is not known[name]:
            raise SettingsError(
                f'{path.name}: "{name}" must be {known[name].__name__}, not {type(value).__name__} ({value!r})'
            )
    settings = replace(Settings(data_dir=data_dir), **given)
    try:
        _check(settings)
    except SettingsError as error:
        variable = ENVIRONMENT_PREFIX + re.match(r"\W*(\w*)", str(error))[1].upper()
        raise SettingsError(f"{f'environment {variable}' if variable in environment else path.name}: {error}") from None
    return settings


def contact_limits(settings: Settings) -> list[tuple[str, int, int]]:
    """(channel, contacts, days) of each limit: at most so many contacts in so many days."""
    found = {channel: CONTACT_LIMIT.fullmatch(limit) for channel, limit in settings.contact_limits.items()}
    return [(channel, int(match[1]), int(match[2])) for channel, match in found.items()]


def _from_text(name, kind, text):
    if kind in (dict, list):
        raise SettingsError(f"environment {ENVIRONMENT_PREFIX}{name.upper()}: write it in settings.toml, as a table")
    try:
        # bool("false") would be true
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        raise SettingsError(
            f'environment {ENVIRONMENT_PREFIX}{name.upper()}="{text}": must be {kind.__name__}'
        ) from error


def _check(settings):
    if settings.business_timezone not in available_timezones():
        raise SettingsError(
            f'business_timezone "{settings.business_timezone}" is no IANA time zone; write one such as "Asia/Shanghai"'
        )
    ZoneInfo(settings.business_timezone)
    if settings.language not in ("zh", "en"):
        raise SettingsError(f'language "{settings.language}" is not there; write "zh" or "en"')
    if not (len(settings.reporting_currency) == 3 and settings.reporting_currency.isupper()):
        raise SettingsError(f'reporting_currency "{settings.reporting_currency}": write an ISO 4217 code such as "CNY"')
    if not settings.phone_country_code.isdigit():
        raise SettingsError(f'phone_country_code "{settings.phone_country_code}": write digits only, such as "86"')
    if not re.fullmatch(r"\d+(\.\d+)? ?[KMGT]i?B", settings.memory_limit):
        raise SettingsError(f'memory_limit "{settings.memory_limit}"; write a size such as "4GiB"')
    if not _is_known_to_duckdb(settings.storage_version):
        raise SettingsError(
            f'storage_version "{settings.storage_version}" is none that DuckDB {duckdb.__version__} can write;'
            ' write such as "v1.2.0"'
        )
    at_least = {
        "rfm_window_days": 0,
        "rfm_hold_days": 0,
        "churn_horizon_days": 0,
        "training_customers": 1,
        "max_customers_per_identifier": 1,
        "workbook_max_customers": 1,
        "daily_snapshots": 1,
        "monthly_snapshots": 0,
        "keep_raw_days": 0,
        "threads": 0,
        "seed": 0,
        "train_every_days": 1,
    }
    for name, least in at_least.items():
        if getattr(settings, name) < least:
            raise SettingsError(f'"{name}" is {getattr(settings, name)}; it must be {least} or more')
    if settings.churn_horizon_days and not 7 <= settings.churn_horizon_days <= 365:
        raise SettingsError(
            f'"churn_horizon_days" is {settings.churn_horizon_days}; write 7 to 365, or 0 to have it estimated'
        )
    for name, most in {"rfm_window_days": 3650, "rfm_hold_days": 365, "train_every_days": 365}.items():
        if getattr(settings, name) > most:
            raise SettingsError(f'"{name}" is {getattr(settings, name)}; it must be {most} or less')
    if not 0 <= settings.discount_rate_yearly <= 1:
        raise SettingsError(
            f'"discount_rate_yearly" is {settings.discount_rate_yearly}; write a share from 0.0 (nothing is discounted) to 1.0'
        )
    if not 0 < settings.segment_jump_limit <= 1:
        raise SettingsError(
            f'"segment_jump_limit" is {settings.segment_jump_limit}; write a share of customers above 0, at most 1.0'
        )
    for name in ("psi_warning", "realised_gap_warning"):
        if not 0 < getattr(settings, name) < float("inf"):
            raise SettingsError(f'"{name}" is {getattr(settings, name)}; write a number above 0, such as 0.25')
    for purpose, allowed in settings.consent_when_silent.items():
        if purpose not in PURPOSES or not isinstance(allowed, bool):
            raise SettingsError(
                f"consent_when_silent: {purpose} = {allowed!r}; write true or false for one of {', '.join(PURPOSES)}"
            )
    for channel, limit in settings.contact_limits.items():
        if channel not in CHANNELS or not CONTACT_LIMIT.fullmatch(str(limit)):
            raise SettingsError(
                f'contact_limits: {channel} = {limit!r}; write such as "4 per 30d" for one of {", ".join(CHANNELS)}'
            )
    for place, entry in enumerate(settings.database, start=1):
        _check_database(place, entry)
    names = [entry["name"].casefold() for entry in settings.database]
    for name in names:
        if names.count(name) > 1:
            raise SettingsError(f'[[database]]: two entries are named "{name}"; a name belongs to one delivery')


def _is_known_to_duckdb(storage_version):
    if storage_version == Settings.storage_version:
        return True
    try:
        with duckdb.connect() as con:
            con.execute("attach ':memory:' as probe (storage_version '" + storage_version.replace("'", "''") + "')")
    except duckdb.Error:
        return False
    return True


def _check_database(place, entry):
    """One [[database]] entry. No message repeats a value: a URL with its password may stand under any key."""
    where = f"[[database]] number {place}"
    if not isinstance(entry, dict):
        raise SettingsError("database: write each one under a line [[database]] of its own")
    for option, given in entry.items():
        if option not in DATABASE_OPTIONS:
            near = difflib.get_close_matches(option, DATABASE_OPTIONS, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(DATABASE_OPTIONS)}"
            raise SettingsError(f'{where}: unknown "{option}"; {hint}')
        kind = DATABASE_OPTIONS[option]
        if type(given) is not kind or given == "":
            example = {str: "a text", int: "a whole number", bool: "true or false"}[kind]
            raise SettingsError(f"{where}: {option} must be {example}")
    for option, mend in {"name": 'such as name = "shop"', "url": "the name of an environment variable"}.items():
        if option not in entry:
            raise SettingsError(f"{where}: {option} is missing; write {mend}")
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,39}", entry["name"]):
        raise SettingsError(
            f"{where}: name can have letters, digits, _ and - only (at most 40), as files are named by it"
        )
    where = f"[[database]] {entry['name']}"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", entry["url"]):
        raise SettingsError(
            f"{where}: url must be the name of an environment variable that holds the URL, such as SHOP_DATABASE_URL,"
            " never the URL itself; if it stood here, change its password"
        )
    for one, other in (("table", "query"), ("layout", "entity")):
        if (one in entry) == (other in entry):
            raise SettingsError(f"{where}: needs one of {one} and {other}")
    for option, beside in (("schema", "table"), ("source", "entity"), ("timezone", "entity")):
        if option in entry and beside not in entry:
            raise SettingsError(f"{where}: {option} goes with {beside} only")
    if entry.get("timezone", "UTC") not in available_timezones():
        raise SettingsError(f'{where}: timezone is no IANA time zone; write one such as "Asia/Shanghai"')
    if entry.get("timeout_minutes", 1) < 1:
        raise SettingsError(f"{where}: timeout_minutes must be 1 or more")
