"""Keyed hashes on a connection: one definition for ids that are personal and for suppressions."""

SIEVE_SIZE = 1 << 20


def set_key(con, key: str) -> None:
    """The macros keyed(text), a hash that only the key's owner can make, and sieve(text), a small number of the same kind.

    keyed is nested, so that nobody can lengthen a text whose hash is known. sieve costs a fifth of it and is stored
    beside it: rows whose number is not among those stored need no hash.
    """
    con.execute("set variable pseudonym_key = ?", (key,))
    con.execute(
        "create or replace temp macro keyed(v) as"
        " sha256(getvariable('pseudonym_key') || sha256(getvariable('pseudonym_key') || v))[:32]"
    )
    con.execute(
        "create or replace temp macro sieve(v) as"
        f" (md5_number_lower(getvariable('pseudonym_key') || v) % {SIEVE_SIZE})::integer"
    )
