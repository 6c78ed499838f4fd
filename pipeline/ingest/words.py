"""Words of an export and what they mean: by a layout's map, by the contract, in any case, by their beginning; in SQL."""

import unicodedata

from pipeline.ingest.cells import NARROW, WIDE, narrow
from pipeline.warehouse import literal

FULL_WIDTH = str.maketrans(WIDE, NARROW)


def mapped(text, values):
    """SQL for what a text means, itself where no word of values is it: of a whole word first, then of the first that begins it.

    A word as written goes before the same in another case or in full width, for which only what is left is looked at; one
    that means several things in several cases has no meaning but as written. A map and no case, which would repeat the
    text for each word: it may be long, and the words many.
    """
    whole = {word: to for word, to in values.items() if word[-1:] != "*"}
    steps = (
        [f"{_map(whole)}[{text}]", f"{_map(_in_any_case(whole, FULL_WIDTH))}[lower({narrow(text)})]"] if whole else []
    )
    begun = {word[:-1]: to for word, to in values.items() if word not in whole}
    if begun:
        steps += [_beginning(text, begun), _beginning(f"lower({text})", _in_any_case(begun))]
    return f"coalesce({', '.join([*steps, text])})"


def is_one_of(text, words):
    """SQL for whether a text is one of some words, in any case; one that ends in * is the beginning of words."""
    whole = [word.lower() for word in words if word[-1:] != "*"]
    begun = [f"starts_with(lower({text}), {literal(word[:-1].lower())})" for word in words if word[-1:] == "*"]
    conditions = ([f"lower({text}) in ({', '.join(map(literal, whole))})"] if whole else []) + begun
    return f"({' or '.join(conditions) or 'false'})"


def contract_words(column):
    """The words that a contract knows for its values, themselves among them."""
    return dict(zip(column.values, column.values, strict=True)) | column.words


def all_words(values, column):
    """A layout's words with what they mean in the contract, and those of the contract that the layout says nothing of."""
    known = contract_words(column)
    meanings = {word: known.get(unicodedata.normalize("NFKC", to).lower(), to) for word, to in values.items()}
    said = {word.lower() for word in values}
    begun = tuple(word[:-1] for word in said if word.endswith("*"))
    # a beginning that the layout states goes before a word of the contract
    return meanings | {word: to for word, to in known.items() if word not in said and not word.startswith(begun)}


def _map(words):
    return f"map([{', '.join(map(literal, words))}], [{', '.join(map(literal, words.values()))}])"


def _in_any_case(words, also=None):
    """Words in small letters with their meanings; none that means several things. also: characters to be exchanged."""
    meanings = {}
    for word, to in words.items():
        meanings.setdefault(word.translate(also or {}).lower(), set()).add(to)
    return {word: one for word, (one, *others) in meanings.items() if not others}


def _beginning(text, words):
    cases = " ".join(f"when starts_with({text}, {literal(word)}) then {literal(to)}" for word, to in words.items())
    return f"case {cases} end" if cases else "null"
