"""Header cells as concepts, and how much a header says the same as a contract's column. From vocabulary.yaml."""

import difflib
import math
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path

import yaml

from pipeline.ingest.contracts import load_contracts

VOCABULARY = Path(__file__).with_name("vocabulary.yaml")
# what an entity's own headers may leave out (`Status` for `Ticket Status`), and a place in a row of like columns
CONTEXT_SHARE = 0.2
NUMBER_WEIGHT = 0.3
UNKNOWN_WEIGHT = 2.5
LATER_WORDS = 0.12
# a concept that stands for no column yet
RARE_WEIGHT = 4.0

BRACKETED = re.compile(r"[(\[【].*?[)\]】]")
CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
ATOM = re.compile(r"[a-z]+|\d+|[^\W\d_a-z]+")


@dataclass(frozen=True)
class Vocabulary:
    """phrases: atoms -> concepts. columns, opposites: (entity, column) -> sets of concepts. weights: concept -> weight."""

    phrases: dict
    columns: dict
    opposites: dict
    context: dict
    values: dict
    weights: dict


@cache
def load_vocabulary() -> Vocabulary:
    """The vocabulary, its headers cut into concepts."""
    document = yaml.load(VOCABULARY.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506 (makes only text, lists, dicts)
    phrases = {}
    for concept, words in document["lexicon"].items():
        phrases |= {_atoms(word): (concept,) for word in words}
    phrases |= {_atoms(word): tuple(concepts) for word, concepts in document["compounds"].items()}
    phrases |= {_atoms(word): () for word in document["stop"]}
    phrases.pop((), None)
    columns = {}
    shared = document["columns"].pop("any")
    for entity, contract in load_contracts().items():
        own = document["columns"].get(entity, {})
        for name in contract.columns:
            words = shared.get(name, []) + own.get(name, [])
            columns[entity, name] = tuple(dict.fromkeys(frozenset(_concepts(word, phrases)) for word in words))
    opposites = {
        (entity, name): tuple(frozenset(_concepts(word, phrases)) for word in words)
        for entity, by_column in document["opposite"].items()
        for name, words in by_column.items()
    }
    values = {
        (entity, name): {word.lower(): canonical for canonical, words in by_value.items() for word in words}
        for entity, by_column in document["values"].items()
        for name, by_value in by_column.items()
    }
    context = {entity: frozenset(concepts) for entity, concepts in document["context"].items()}
    return Vocabulary(phrases, columns, opposites, context, values, _weights(columns))


def concepts_of(header: str) -> tuple[str, ...]:
    """The concepts that a header's words mean; a word that is not known stands as itself behind a question mark."""
    return _concepts(header, load_vocabulary().phrases)


def likeness(header: frozenset, entity: str, column: str) -> float:
    """How much a header (its concepts) means a contract's column, 0 to 1: the best of the column's known headers.

    What the vocabulary names first says it best: 姓名 is more of a name than 昵称.
    """
    vocabulary = load_vocabulary()
    known_headers = vocabulary.columns[entity, column]
    return max(
        (
            _overlap(header, known, entity, vocabulary) * (1 - LATER_WORDS * place / len(known_headers))
            for place, known in enumerate(known_headers)
        ),
        default=0.0,
    )


def contrary(header: frozenset, entity: str, column: str) -> float:
    """How much a header says the opposite of a yes-no column, 0 to 1."""
    vocabulary = load_vocabulary()
    known_headers = vocabulary.opposites.get((entity, column), ())
    return max((_overlap(header, known, entity, vocabulary) for known in known_headers), default=0.0)


def canonical_words(entity: str, column: str) -> dict[str, str]:
    """Words of exports in lower case -> the contract's values, for a column of a closed set of them."""
    return load_vocabulary().values.get((entity, column), {})


def _overlap(header, known, entity, vocabulary):
    if header == known:
        return 1.0
    context = vocabulary.context.get(entity, frozenset())

    def weight(concepts, share):
        return sum(
            vocabulary.weights.get(concept, _unlisted(concept)) * (share if concept in context else 1)
            for concept in concepts
        )

    both = weight(header & known, 1)
    return both / (both + weight(header ^ known, CONTEXT_SHARE)) if both else 0.0


def _unlisted(concept):
    if concept.startswith("#"):
        return NUMBER_WEIGHT
    return UNKNOWN_WEIGHT if concept.startswith("?") else RARE_WEIGHT


def _weights(columns):
    """A concept that few columns are named by tells more than one that many are."""
    named = {}
    for (_, column), headers in columns.items():
        for concept in frozenset().union(*headers):
            named.setdefault(concept, set()).add(column)
    return {concept: math.log(1 + 60 / len(names)) for concept, names in named.items()}


def _atoms(text):
    """A word as it is looked up: lower case, latin words whole, of Chinese each character."""
    text = unicodedata.normalize("NFKC", text).strip()
    text = CAMEL.sub(" ", text).lower().replace("_", " ")
    return tuple(atom for piece in ATOM.findall(text) for atom in ([piece] if piece.isascii() else piece))


def _concepts(header, phrases):
    bare = BRACKETED.sub(" ", unicodedata.normalize("NFKC", header))
    atoms = _atoms(bare) or _atoms(header)
    found = []
    for is_known, pieces in groupby(_cut(atoms, phrases), key=lambda piece: piece in phrases):
        if is_known:
            found += [concept for piece in pieces for concept in phrases[piece]]
        else:
            unknown = [atom for piece in pieces for atom in piece]
            for is_ascii, run in groupby(unknown, key=str.isascii):
                parts = [*run]
                found += (
                    [one for atom in parts for one in _unknown(atom, phrases)] if is_ascii else ["?" + "".join(parts)]
                )
    return tuple(dict.fromkeys(found))


def _unknown(atom, phrases):
    """What a latin word that is not listed may be: several written as one (orderno), a plural, a slip of the pen."""
    if atom.isdigit():
        return ("#" + atom,)
    if atom.endswith("s") and (atom[:-1],) in phrases:
        return phrases[atom[:-1],]
    if len(atom) > 4:
        glued = _cut(tuple(atom), _spelt(tuple(phrases)))
        if all(len(piece) > 1 for piece in glued):
            return tuple(concept for piece in glued for concept in phrases["".join(piece),])
        near = difflib.get_close_matches(
            atom, [word[0] for word in phrases if len(word) == 1 and len(word[0]) > 4], 1, 0.85
        )
        if near:
            return phrases[near[0],]
    return ("?" + atom,)


@cache
def _spelt(phrases):
    """Single latin words of two letters or more by their letters."""
    return frozenset(
        tuple(phrase[0]) for phrase in phrases if len(phrase) == 1 and len(phrase[0]) > 1 and phrase[0].isascii()
    )


def _cut(atoms, phrases):
    """Atoms cut into known phrases: the fewest atoms left over, then the fewest pieces."""
    longest = max(map(len, phrases))
    best = [(0, 0, ())]
    for end in range(1, len(atoms) + 1):
        ways = []
        for begin in range(max(0, end - longest), end):
            piece, (left, count, pieces) = atoms[begin:end], best[begin]
            if piece in phrases:
                ways.append((left, count + 1, (*pieces, piece)))
            elif end - begin == 1:
                ways.append((left + 1, count + 1, (*pieces, piece)))
        best.append(min(ways, key=lambda way: way[:2]))
    return best[-1][2]
