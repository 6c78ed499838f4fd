"""Survivorship: which source record says each attribute of a customer. Rules from survivorship.yaml and the user's own."""

import difflib
from dataclasses import dataclass
from pathlib import Path

import yaml

from pipeline.ingest.contracts import load_contracts
from pipeline.warehouse import literal

FILE = Path(__file__).parent / "survivorship.yaml"
# rule -> the rank column of customer_records that it goes by
RULES = {"most_recent": "version_rank", "most_trusted": "trusted_rank", "most_complete": "complete_rank"}
PLACE = ("province", "city", "district", "address", "postal_code")
# of these none survives: the record's key and times, whom it names, and what says that it is gone. Consent is no attribute
UNRULED = ("source_customer_id", "source_company_id", "registered_at", "referred_by", "updated_at", "deleted")


class SurvivorshipError(ValueError):
    """The survivorship rules cannot be used; says file, key and the mend."""


@dataclass(frozen=True)
class Survivorship:
    """trust: sources, the most trusted first. rules: attribute -> one of RULES, for every attribute."""

    trust: tuple[str, ...]
    rules: dict[str, str]


def attributes() -> list[str]:
    """What survives: the customer contract's columns but UNRULED, those of a place as `place`."""
    columns = [
        name for name in load_contracts()["customers"].columns if name not in UNRULED and not name.endswith("_allowed")
    ]
    return sorted({"place" if name in PLACE else name for name in columns})


def load_survivorship(user_folder: Path, sources: set[str]) -> Survivorship:
    """Our rules, and those of the folder's survivorship.yaml over them, key by key. Raises SurvivorshipError.

    sources: those that a layout names; the user's `trust` may hold no other.
    """
    documents = [_read(FILE)]
    if (user_folder / FILE.name).exists():
        documents.append(_read(user_folder / FILE.name))
        for source in documents[1].get("trust", []):
            _known(source, sorted(sources), f"{FILE.name}: trust: no layout has the source")
    merged, stated = {}, {}
    for document in documents:
        merged |= document
        stated |= document["attributes"]
    return Survivorship(
        trust=tuple(merged["trust"]), rules={name: stated.get(name, merged["default"]) for name in attributes()}
    )


def define_survivorship(con, survivorship: Survivorship) -> None:
    """The temporary macros that golden/*.sql and whoever picks a surviving attribute read.

    survivor_rank('gender'): the record's rank for that attribute, the greatest wins; a constant name folds to one column.
    source_trust(source): greater is more trusted, 0 where the rules do not name it.
    """
    ranks = " ".join(f"when {literal(name)} then {RULES[rule]}" for name, rule in survivorship.rules.items())
    con.execute(
        "create or replace temp macro survivor_rank(attribute) as"
        f" case attribute {ranks} else error('no survivorship rule for ' || attribute) end"
    )
    trusted = enumerate(reversed(survivorship.trust), start=1)
    trusts = " ".join(f"when source = {literal(source)} then {place}" for place, source in trusted)
    con.execute(f"create or replace temp macro source_trust(source) as case {trusts} when true then 0 end")


def _read(path):
    """A file's `trust`, `default` and `attributes`, checked; attributes is there even where the file has none."""
    where = path.name
    try:
        # nothing but text, lists and dictionaries: a source named NO stays "NO"
        document = yaml.load(path.read_text(encoding="utf-8-sig"), yaml.BaseLoader)  # noqa: S506
    except yaml.YAMLError as error:
        raise SurvivorshipError(f"{where}: not readable as YAML: {' '.join(str(error).split())}") from error
    except UnicodeDecodeError as error:
        raise SurvivorshipError(f"{where}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    if not isinstance(document, dict):
        raise SurvivorshipError(f"{where}: must hold trust:, default: or attributes:")
    for name in document:
        _known(name, ("trust", "default", "attributes"), f"{where}: unknown key")
    trust = document.get("trust", [])
    if not isinstance(trust, list) or not all(isinstance(source, str) and source for source in trust):
        raise SurvivorshipError(f"{where}: trust: must be a list of sources, such as [crm, shop]")
    doubled = sorted({source for source in trust if trust.count(source) > 1})
    if doubled:
        raise SurvivorshipError(f'{where}: trust: "{doubled[0]}" stands twice; keep the place that it shall have')
    if "default" in document:
        _known(document["default"], RULES, f"{where}: default: unknown rule")
    # a key without anything under it reads as an empty text
    given = document["attributes"] = document.get("attributes") or {}
    if not isinstance(given, dict):
        raise SurvivorshipError(f"{where}: attributes: must hold `attribute: rule` lines, such as gender: most_trusted")
    for name, rule in given.items():
        if name in PLACE:
            raise SurvivorshipError(
                f"{where}: attributes: {name} comes with the rest of the place; write place: {rule}"
            )
        _known(name, attributes(), f"{where}: attributes: unknown attribute")
        _known(rule, RULES, f"{where}: attributes: {name}: unknown rule")
    return document


def _known(name, known, problem):
    if isinstance(name, str) and name in known:
        return
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f'did you mean "{near[0]}"?' if near else f"one of {', '.join(known)}"
    raise SurvivorshipError(f'{problem} "{name}"; {hint}')
