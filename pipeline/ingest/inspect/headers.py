"""Whether a table's first line is its header or already somebody's record, of which nothing may be shown."""

from pipeline.ingest.inspect.masks import is_like_a_name, is_like_an_address
from pipeline.ingest.inspect.words import concepts_of
from pipeline.ingest.kinds import kind_of

# what a record holds in words alone may be in any of these too
UNTELLING_KINDS = ("empty", "text", "category")


def is_header(cells: tuple[str, ...], rows: list[list[str]]) -> bool:
    """Whether a first line holds names of columns: its words are known ones, or no values of the columns below.

    A word that stands again in its own column is a value. In doubt it is no header, since it may name a person.
    """
    filled = [place for place, cell in enumerate(cells) if cell.strip()]
    others = [row for row in rows if len(row) == len(cells) and tuple(row) != cells]
    columns = {place: [row[place].strip() for row in others] for place in filled}
    known = [place for place in filled if _is_known(cells[place])]
    again = sum(cells[place].strip() in columns[place] for place in filled)
    if again and again >= len(known):
        return False
    kinds = {place: kind_of(columns[place]) for place in filled}
    unlike = sum(kinds[place] not in (*UNTELLING_KINDS, kind_of([cells[place]])) for place in filled)
    if unlike >= 2 or 2 * len(known) > len(filled):
        return True
    strange = [cells[place] for place in filled if place not in known]
    is_personal = any(is_like_a_name(cell) or is_like_an_address(cell) for cell in strange)
    return bool(known or unlike) and not is_personal


def _is_known(cell):
    """Whether every word of a cell is one of export headers."""
    concepts = concepts_of(cell)
    return bool(concepts) and not any(concept.startswith(("?", "#")) for concept in concepts)
