"""Who opened the vault or let data out, what, how much and for which purpose: rows of the ledger that nobody can change."""

import os
import pwd
from datetime import UTC, datetime


def audit(ledger, what: str, object_name: str, row_count=None, purpose=None, run_id=None) -> None:
    """One row in the ledger's audit, with the time and the user of the operating system.

    what: vault opened, export written, audience written, role file written, backup, restore or forget. object_name: the
    file, by its path in the data folder.
    """
    ledger.insert(
        "audit",
        done_at=str(datetime.now(UTC).replace(tzinfo=None)),
        run_id=run_id,
        who=os_user(),
        what=what,
        object_name=object_name,
        row_count=row_count,
        purpose=purpose,
    )


def os_user() -> str:
    """The user that the process runs as; not the environment's word, which anybody can set."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
