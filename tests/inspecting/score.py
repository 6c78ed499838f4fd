"""A proposal against a hand-made key: columns right, wrong and left out."""

from pathlib import Path

from pipeline.ingest.inspect import plan_file


def score(path: Path, key: dict[str, set[str]], settings) -> tuple[str, int, int, int]:
    """(the main entity, columns right, wrong, left out) of the plan for a file whose headers are the key's.

    A column that the plan places where the key does not is wrong; one that only the key places is left out.
    """
    (plan,) = plan_file(path, settings)
    mapped = plan.headers()
    assert mapped.keys() <= key.keys()
    right = wrong = left_out = 0
    for header, wanted in key.items():
        found = {f"{entity}.{column}" for entity, column in mapped.get(header, [])}
        if found & wanted or not (found or wanted):
            right += 1
        elif found:
            wrong += 1
        else:
            left_out += 1
    return plan.guess.entity, right, wrong, left_out
