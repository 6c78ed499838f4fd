"""Which entity a table is, and which of its columns is which of the contract's: by the headers' words and by the values."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.inspect.profile import ColumnProfile, TableProfile
from pipeline.ingest.inspect.words import canonical_words, concepts_of, contrary, likeness, load_vocabulary

ACCEPTED, SURE = 0.55, 0.78
# two columns that speak almost as much for the same place are said
CLOSE = 0.06
BY_VALUES_ALONE = 0.6
# contract type -> how well each kind of values goes with it; a kind that is not listed goes badly
FITTING = {
    "id": {
        "id": 1,
        "integer": 1,
        "text": 0.85,
        "category": 0.85,
        "phone": 0.9,
        "email": 0.9,
        "decimal": 0.3,
        "date": 0.4,
        "boolean": 0.4,
    },
    "text": {"text": 1, "category": 0.95, "id": 0.7, "boolean": 0.4, "integer": 0.4, "phone": 0.2, "email": 0.2},
    "category": {"category": 1, "text": 0.85, "boolean": 0.8, "integer": 0.5, "id": 0.75},
    "email": {"email": 1, "text": 0.3, "category": 0.3},
    "phone": {"phone": 1, "id": 0.7, "integer": 0.7, "text": 0.4, "decimal": 0.5},
    "currency": {"category": 1, "text": 0.5},
    "integer": {"integer": 1, "decimal": 0.8, "boolean": 0.5, "category": 0.3},
    "decimal": {"decimal": 1, "integer": 1, "money": 0.9, "boolean": 0.6, "category": 0.4},
    "money": {"money": 1, "decimal": 1, "integer": 0.95, "boolean": 0.4},
    "date": {"date": 1, "timestamp": 0.85, "integer": 0.3},
    "timestamp": {"timestamp": 1, "date": 0.95, "integer": 0.3},
    "boolean": {"boolean": 1, "category": 0.7, "integer": 0.4},
}
BADLY, BLANK = 0.15, 0.75
# somebody of the seller's own: his e-mail and phone are no customer's
STAFF = {"staff", "owner"}
# what may be left to a constant that a person confirms
ASSUMED = {
    ("feedback", "kind"): "review",
    ("returns", "kind"): "refund",
    ("consents", "purpose"): "marketing",
    ("consents", "channel"): "any",
}


@dataclass(frozen=True)
class Match:
    """One contract column and the export's column for it.

    rivals: other columns that speak almost as much for it. also: those that say more of the same (a second phone, the
    second line of an address).
    """

    header: str
    score: float
    is_opposite: bool = False
    rivals: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def is_sure(self):
        return self.score >= SURE and not self.rivals


@dataclass(frozen=True)
class EntityGuess:
    """How well a table serves as one entity: its columns found, the required ones missing, and what speaks for it."""

    entity: str
    matches: dict[str, Match]
    missing: tuple[str, ...]
    score: float
    telling: tuple[str, ...] = ()


def guess_entities(table: TableProfile, hint: str = "") -> dict[str, EntityGuess]:
    """Every entity's guess, the likeliest first. hint: a file's or sheet's name, whose words speak for an entity too."""
    headers = {column.header: frozenset(concepts_of(column.header)) for column in table.columns}
    hinted = set(concepts_of(hint))
    found = [_guess(entity, table, headers, hinted) for entity in load_contracts()]
    return {guess.entity: guess for guess in sorted(found, key=lambda guess: (-guess.score, guess.entity))}


def _guess(entity, table, headers, hinted):
    contract = load_contracts()[entity]
    columns = [column for column in table.columns if column.kind != "empty" or headers[column.header]]
    names = list(contract.columns)
    scores = np.zeros((len(columns), len(names)))
    is_opposite = np.zeros(scores.shape, bool)
    for place, column in enumerate(columns):
        for at, name in enumerate(names):
            scores[place, at], is_opposite[place, at] = _score(
                column, headers[column.header], entity, contract.columns[name], name in contract.key, table.records
            )
    matches = {}
    if scores.size:
        worth = np.where(scores >= ACCEPTED, scores**2, 0)
        for place, at in zip(*linear_sum_assignment(worth, maximize=True), strict=True):
            if scores[place, at] >= ACCEPTED:
                matches[names[at]] = (
                    place,
                    Match(columns[place].header, float(scores[place, at]), bool(is_opposite[place, at])),
                )
        taken = {match.header for _, match in matches.values()}
        for at, name in enumerate(names):
            if name in matches:
                place, match = matches.pop(name)
                free = [
                    other
                    for other in np.argsort(-scores[:, at], kind="stable")
                    if scores[other, at] >= ACCEPTED and columns[other].header not in taken
                ]
                also = [
                    columns[other]
                    for other in free
                    if _says_more(contract.columns[name], columns[place], columns[other])
                ]
                near = [columns[other] for other in free if scores[other, at] >= scores[place, at] - CLOSE]
                matches[name] = replace(
                    match,
                    also=tuple(one.header for one in also),
                    rivals=tuple(one.header for one in near if one not in also),
                )
                taken |= {one.header for one in also}
    missing = tuple(name for name, column in contract.columns.items() if column.required and name not in matches)
    worth = {name: match.score * _weight(entity, name) for name, match in matches.items()}
    score = sum(worth.values())
    score -= sum(0.5 if (entity, name) in ASSUMED else 1.0 if name in contract.key else 1.6 for name in missing)
    score += 1.5 * bool(hinted & load_vocabulary().context[entity])
    key = [matches[name].header for name in contract.key if name in matches]
    if len(contract.key) == 1 and key and not _column(table, key[0]).is_unique(table.records):
        # a key that repeats is another entity's, or an order's whose lines stand here
        score -= 0.5 if entity == "orders" else 3.5
    telling = sorted(worth, key=lambda name: (-worth[name], name))
    return EntityGuess(entity, matches, missing, round(score, 4), tuple(telling))


def _says_more(target, column, other):
    """Whether another column is a second phone or e-mail, or another line of an address."""
    if target.type in ("phone", "email"):
        return other.kind == column.kind == target.type
    concepts, others = (
        {one for one in concepts_of(header) if not one.startswith("#")} for header in (column.header, other.header)
    )
    return target.name == "address" and concepts == others


def _score(column: ColumnProfile, header, entity, target, is_key, records):
    """(how much a column is the contract's, 0 to 1; whether it says the contrary of it)."""
    meant, denied = likeness(header, entity, target.name), contrary(header, entity, target.name)
    fits = BLANK if column.kind == "empty" else FITTING[target.type].get(column.kind, BADLY)
    heard = _heard(column, entity, target.name)
    if heard is not None:
        # words of this very column speak for it, and where none is heard, against it
        fits = max(fits, 0.95) if heard >= 0.5 else fits * (0.75 if heard == 0 else 1)
    score = max(meant, denied) * fits
    if target.type in ("email", "phone") and column.kind == target.type and not header & STAFF:
        score = max(score, BY_VALUES_ALONE)
    if heard is not None and heard >= 0.5:
        score = min(1.0, score + 0.15 * heard)
    if is_key and target.name not in ("order_id", "line") and column.is_unique(records):
        score = min(1.0, score * 1.05)
    return score, denied > meant


def _heard(column, entity, name):
    """The share of a category's cells that are words known of a contract's column; None where that knows none."""
    known = canonical_words(entity, name)
    if not known or not column.words:
        return None
    cells = sum(column.words.values()) or 1
    return sum(count for word, count in column.words.items() if word.lower() in known) / cells


@cache
def _weight(entity, name):
    """Required columns weigh double; those that many entities have tell little."""
    contracts = load_contracts()
    column = contracts[entity].columns[name]
    sharing = sum(name in contract.columns for contract in contracts.values())
    return (2.0 if column.required else 1.0) / sharing**0.5


def _column(table, header):
    return next(column for column in table.columns if column.header == header)
