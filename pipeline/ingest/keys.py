"""Keyed hashes on a connection: one definition for ids that are personal and for suppressions."""

import hashlib


def set_key(con, key: str) -> None:
    """The macros keyed(text), a hash that only the key's owner can make, and sieve(text), a short and cheap one.

    keyed is nested, so that nobody can lengthen a text whose hash is known. sieve takes a fifth of the time and is stored
    beside it: a row whose five digits are not among those stored needs no hash. Its key is one of its own.
    """
    con.execute("set variable pseudonym_key = ?", (key,))
    con.execute("set variable sieve_key = ?", (hashlib.sha256(f"{key} sieve".encode()).hexdigest()[:16],))
    con.execute(
        "create or replace temp macro keyed(v) as"
        " sha256(getvariable('pseudonym_key') || sha256(getvariable('pseudonym_key') || v))[:32]"
    )
    con.execute("create or replace temp macro sieve(v) as md5(getvariable('sieve_key') || v)[:5]")
