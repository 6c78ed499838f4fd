"""Who is meant by a customer id, an e-mail or a phone: the person's source records, and what is kept out from now on."""

from dataclasses import dataclass, replace

from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.rules import Reading
from pipeline.ingest.suppressions import PERSONAL, email_sql, phone_sql, shown
from pipeline.warehouse import attach, has_table, literal, value

FIRST_GIVEN_ID = "'C' || lpad(number::varchar, 9, '0')"


class UnknownPerson(Exception):
    """Nobody, or not one person, is meant; the message says by which option, and the mend, without repeating it."""


@dataclass(frozen=True)
class Persons:
    """persons: how many; shared: how many of their identifiers stay, as others show them too; suppressions: rows.

    known: the options that name somebody forgotten already.
    """

    persons: int
    shared: int
    suppressions: list[dict]
    known: tuple[str, ...]


def find_persons(con, settings, ledger, customer_ids, emails, phones, blocked: dict) -> Persons:
    """The persons meant, each once, and the keyed hashes of all that tells who they are.

    con: with the key and scratch.suppressions. blocked: kind -> regular expressions of identifiers that are nobody's.
    The vault's map of the last night says which source records are one customer, the landed files what each record shows.
    Who is forgotten already is passed over. Raises UnknownPerson when an option names nobody, or several customers.
    """
    _read_vault(con, settings)
    _read_records(con, settings, ledger)
    con.execute("create or replace table scratch.meant (source varchar, customer_key varchar)")
    known = [_mean_customer(con, given, f"--customer-id number {place}") for place, given in enumerate(customer_ids, 1)]
    reading = Reading("UTC", "", "", settings.phone_country_code)
    for kind, given, normal in (("email", emails, email_sql), ("phone", phones, phone_sql)):
        for place, text in enumerate(given, start=1):
            con.execute("create or replace table scratch.given as select trim(?::varchar) as cell", (text,))
            normalised = value(con, f"select {normal('cell', reading)} from scratch.given")
            known.append(_mean_identifier(con, kind, normalised, f"--{kind} number {place}"))
    return replace(_suppressions(con, blocked), known=tuple(filter(None, known)))


def _read_vault(con, settings):
    """scratch.map, scratch.numbers, scratch.changes and scratch.merges (the last of each id): identity as the last night left it."""
    con.execute("create or replace table scratch.map (source varchar, customer_key varchar, customer_id varchar)")
    con.execute("create or replace table scratch.numbers (source varchar, customer_key varchar, number bigint)")
    con.execute("create or replace table scratch.merges (customer_id varchar, other_customer_id varchar)")
    con.execute(
        "create or replace table scratch.changes (changed_on date, customer_id varchar, change varchar,"
        " other_customer_id varchar, record_count bigint)"
    )
    vault = settings.vault / "vault.duckdb"
    if not vault.exists():
        return
    attach(con, vault, "vault")
    for table, known in (("map", "customer_map"), ("numbers", "source_records"), ("changes", "identity_changes")):
        if has_table(con, "vault", "main", known):
            con.execute(f"insert into scratch.{table} by name select {_columns(con, table)} from vault.{known}")
    con.execute("detach vault")
    con.execute(
        """
        insert into scratch.merges
        select customer_id, other_customer_id
        from scratch.changes
        where change = 'merged'
        qualify row_number() over (
            partition by customer_id order by changed_on desc, record_count desc, other_customer_id
        ) = 1
        """
    )


def _columns(con, table):
    return ", ".join(name for name, *_ in con.execute(f"describe scratch.{table}").fetchall())


def _read_records(con, settings, ledger):
    """scratch.records (source, customer_key, kind, identifier), what each record shows; and scratch.orders_of.

    A guest is known by an e-mail, or by a phone where that e-mail is nobody's: the map tells which.
    """
    con.execute(
        "create or replace table scratch.shown_by (source varchar, customer_key varchar, kind varchar, identifier varchar)"
    )
    con.execute("create or replace table scratch.orders_of (source varchar, customer_key varchar, order_id varchar)")
    for entity, contract in load_contracts().items():
        paths = [
            settings.vault / row["path"]
            for row in ledger.rows("select distinct path from landings where entity = ?", (entity,))
        ]
        files = ", ".join(literal(path) for path in paths if path.exists())
        if not files or not contract.has_customer:
            continue
        rows = f"read_parquet([{files}], union_by_name = true)"
        there = {name for name, *_ in con.execute(f"describe from {rows}").fetchall()}
        key = "customer_key"
        if {"email", "phone"} <= there:
            key = (
                "case when starts_with(customer_key, 'e:') and (source, customer_key) not in"
                " (select (source, customer_key) from scratch.map) and (source, 'p:' || keyed(phone)) in"
                " (select (source, customer_key) from scratch.map) then 'p:' || keyed(phone) else customer_key end"
            )
        con.execute(
            f"create or replace table scratch.rows_of as select distinct source, {key} as customer_key,"
            f" {', '.join(sorted(there & {*PERSONAL, 'order_id'}) or ['null as nothing'])}"
            f" from {rows} where customer_key is not null"
        )
        for kind in PERSONAL:
            if kind in there:
                con.execute(
                    f"insert into scratch.shown_by select distinct source, customer_key, '{kind}', {kind}"
                    f" from scratch.rows_of where {kind} is not null"
                )
        if entity == "orders":
            con.execute(
                "insert into scratch.orders_of select distinct source, customer_key, order_id from scratch.rows_of"
            )


def _mean_customer(con, given, name):
    """The records of a customer id; an id that a merge retired means who it went to, as core.identity_changes has it."""
    con.execute(
        f"""
        create or replace table scratch.meant_now as
        with recursive
        -- from the id along its merges, until one that is a customer now
        followed as (
            select $1::varchar as customer_id
            union
            select merges.other_customer_id
            from followed
            inner join scratch.merges on followed.customer_id = merges.customer_id
            anti join scratch.map on followed.customer_id = map.customer_id
        ),

        -- a number may be known where no night put its merge on record
        owners as (
            select owner.customer_id
            from scratch.numbers
            inner join scratch.map as owner using (source, customer_key)
            where {FIRST_GIVEN_ID} = $1
        )

        select source, customer_key
        from scratch.map
        where customer_id in (select customer_id from followed)
            or (
                customer_id in (select customer_id from owners)
                and not exists (select 1 from scratch.map semi join followed using (customer_id))
            )
        """,
        (given,),
    )
    return _mean(
        con, f"{name}: no customer has this id, now or before; look it up in core.customers or an export", given, name
    )


def _mean_identifier(con, kind, identifier, name):
    if identifier is None:
        raise UnknownPerson(f"{name}: this is no {kind}; write it as the exports do")
    con.execute(
        """
        create or replace table scratch.meant_now as
        with showing as (
            select distinct source, customer_key from scratch.shown_by where kind = ? and identifier = ?
        )

        select showing.source, showing.customer_key from showing
        union
        select others.source, others.customer_key
        from showing
        inner join scratch.map using (source, customer_key)
        inner join scratch.map as others on map.customer_id = others.customer_id
        """,
        (kind, identifier),
    )
    rows = con.execute(
        "select distinct map.customer_id from scratch.meant_now inner join scratch.map using (source, customer_key)"
        " order by all"
    ).fetchall()
    if len(rows) > 1:
        listed = ", ".join(customer_id for (customer_id,) in rows[:20]) + (" ..." if len(rows) > 20 else "")
        raise UnknownPerson(f"{name}: {len(rows)} customers show it ({listed}); say which with --customer-id")
    why = (
        f"{name}: nobody who has landed shows it; run a night first if the person is in an export that did not land yet"
    )
    return _mean(con, why, identifier, name, kind)


def _mean(con, why_nobody, text, name, kind="customer_id"):
    """Keep who is meant now. Somebody forgotten before is nobody now, and that is no error: then the option's name."""
    if value(con, "select count(*) from scratch.meant_now"):
        con.execute("insert into scratch.meant select * from scratch.meant_now")
        return None
    con.execute("create or replace table scratch.given as select ?::varchar as cell", (text,))
    is_forgotten = f"keyed({shown(kind, 'cell')}) in (select hash from scratch.suppressions)"
    if not value(con, f"select count(*) from scratch.given where {is_forgotten}"):
        raise UnknownPerson(why_nobody)
    return name


def _suppressions(con, blocked):
    con.execute("create or replace table scratch.own as select distinct source, customer_key from scratch.meant")
    con.execute(
        "create or replace table scratch.own_identifiers as"
        " select distinct kind, identifier from scratch.shown_by semi join scratch.own using (source, customer_key)"
    )
    patterns = " or ".join(
        f"kind = {literal(kind)} and regexp_full_match(identifier, {literal('|'.join(listed))})"
        for kind, listed in blocked.items()
        if listed
    )
    con.execute(
        f"""
        create or replace table scratch.shared as
        select distinct own.kind, own.identifier
        from scratch.own_identifiers as own
        inner join scratch.shown_by as shown using (kind, identifier)
        anti join scratch.own as mine on shown.source = mine.source and shown.customer_key = mine.customer_key
        union
        select kind, identifier from scratch.own_identifiers where {patterns or "false"}
        """
    )
    con.execute(
        f"""
        create or replace table scratch.ids_of as
        with recursive now as (
            select distinct map.customer_id from scratch.map semi join scratch.own using (source, customer_key)
        ),

        ever as (
            select customer_id from now
            union
            select {FIRST_GIVEN_ID} from scratch.numbers semi join scratch.own using (source, customer_key)
            union
            select changes.customer_id from scratch.changes
            where changes.other_customer_id in (select customer_id from now)
            union
            select merges.customer_id
            from scratch.merges
            inner join ever on merges.other_customer_id = ever.customer_id
            where ever.customer_id in (select customer_id from now)
                or ever.customer_id not in (select customer_id from scratch.map)
        )

        select customer_id from ever
        where customer_id in (select customer_id from now)
            or customer_id not in (select customer_id from scratch.map)
        """
    )
    listed = f"""
        select 'customer' as kind, {shown("customer", "source", "customer_key")} as text from scratch.own
        union all
        select kind, kind || ':' || identifier from scratch.own_identifiers
        anti join scratch.shared using (kind, identifier)
        union all
        select distinct 'order', {shown("order", "source", "order_id")}
        from scratch.orders_of semi join scratch.own using (source, customer_key)
        union all
        select 'customer_id', {shown("customer_id", "customer_id")} from scratch.ids_of
    """
    rows = con.execute(
        f"select kind, sieve(text) as sieve, keyed(text) as hash from ({listed}) order by all"
    ).fetchall()
    persons = value(
        con,
        "select count(distinct coalesce(customer_id, source || customer_key)) from scratch.own"
        " left join scratch.map using (source, customer_key)",
    )
    return Persons(
        persons,
        value(con, "select count(*) from scratch.shared"),
        [dict(zip(("kind", "sieve", "hash"), row, strict=True)) for row in rows],
        (),
    )
