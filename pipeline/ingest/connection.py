"""What a connection needs before files land on it: the key of keyed hashes, readers of values, rates."""

import os
import secrets

from pipeline.ingest.keys import set_key
from pipeline.ingest.phones import region_of
from pipeline.ingest.rates import define_rates, read_rates
from pipeline.ingest.rules import define_readers


def pseudonym_key(settings) -> str:
    """The key of the keyed hashes, made on first use, in a file beside the data folder that its owner alone can read."""
    path = settings.pseudonym_key_file
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text().strip()


def define_keyed(con, settings) -> None:
    """The macros of keyed hashes, with this data folder's key, and what reads values: functions, rates, variable phone_region."""
    set_key(con, pseudonym_key(settings))
    define_readers(con)
    con.execute("set variable phone_region = ?", (region_of(settings.phone_country_code),))
    define_rates(con, read_rates(settings), settings.business_timezone)
