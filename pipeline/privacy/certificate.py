"""The certificate of an erasure: what was removed where, what stays and why; without the person in it."""

import json
from datetime import UTC, datetime

from pipeline.privacy.restore import left_beside
from pipeline.warehouse import replace_file

NOT_REACHED = (
    "copies outside this data folder: backups, the systems that wrote the exports, files that were sent on",
    "the inbox is never rewritten: what lies there is kept out when it lands, and so is every later export",
    "what others wrote of the person in free text, and the person's name where no id, e-mail or phone stands beside it",
    "figures over several customers, on pages and in model records, which name nobody; and those of the person's company,"
    " also where nobody else was its contact",
    "the keyed hashes that keep the person out: pseudonyms, kept in the ledger as long as exports may bring the person back",
    "an address that the person takes later and that was never known here",
)


def write_certificate(settings, ledger, erasure: dict) -> dict:
    """The certificate of one request, also as vault/certificates/<request_id>.json. Returns it.

    One that stands there stays: an erasure done again, since a backup was restored, has a certificate of its own beside it.
    """
    completed_at = datetime.now(UTC)
    request_id = erasure["request_id"]
    suppressed = ledger.rows(
        "select kind, count(*) as count from suppressions where request_id = ? group by kind order by kind",
        (request_id,),
    )
    removed = ledger.rows(
        "select place, what, sum(count) as count from removals where request_id = ? group by place, what order by place, what",
        (request_id,),
    )
    certificate = {
        "request_id": request_id,
        "requested_at": f"{erasure['requested_at']} UTC",
        "completed_at": f"{completed_at:%Y-%m-%d %H:%M:%S.%f} UTC",
        "persons": erasure["persons"],
        "kept_out_from_now_on": {row["kind"]: row["count"] for row in suppressed},
        "shared_identifiers_left": erasure["shared_identifiers"],
        "removed": removed,
        "not_reached": [
            *(f"{name}, which a restore left beside the data folder: delete it" for name in left_beside(settings)),
            *NOT_REACHED,
        ],
    }
    folder = settings.vault / "certificates"
    folder.mkdir(parents=True, exist_ok=True)
    again = f"-again-{completed_at:%Y%m%dT%H%M%S}" if (folder / f"{request_id}.json").exists() else ""
    part = folder / f"{request_id}.part"
    part.write_text(json.dumps(certificate, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    replace_file(part, folder / f"{request_id}{again}.json")
    return certificate


def certificate_lines(certificate: dict) -> list[str]:
    """The certificate as lines for the screen."""
    kept_out = (
        ", ".join(f"{count} {kind}" for kind, count in certificate["kept_out_from_now_on"].items()) or "nothing new"
    )
    persons = f"{certificate['persons']} person{'' if certificate['persons'] == 1 else 's'}"
    lines = [
        f"Erasure {certificate['request_id']}: {persons}, requested {certificate['requested_at'][:19]} UTC",
        f"  kept out from now on, as keyed hashes: {kept_out}",
        f"  identifiers left, as others show them too: {certificate['shared_identifiers_left']}",
    ]
    lines += [f"  {row['count']:>10,} {row['what']}  {row['place']}" for row in certificate["removed"]]
    lines += [f"  not reached: {text}" for text in certificate["not_reached"]]
    return lines
