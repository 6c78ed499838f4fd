"""Whom the company may and can contact: the settings that the SQL reads, and marts.contactability."""

from collections.abc import Callable
from pathlib import Path

from pipeline.warehouse import value

FOLDER = Path(__file__).parent
SILENCE = {"service": True, "profiling": True, "marketing": False, "sharing": False}


def set_contact_rules(con, when_silent: dict[str, bool], limits: list[tuple[str, int, int]]) -> None:
    """The tables consent_when_silent (purpose, is_allowed) and contact_limits (channel, max_contacts, days).

    when_silent: what differs from SILENCE. limits: at most so many contacts on a channel, or any, in so many days.
    """
    con.execute("create or replace temp table consent_when_silent (purpose varchar, is_allowed boolean)")
    con.executemany("insert into consent_when_silent values (?, ?)", sorted((SILENCE | when_silent).items()))
    con.execute("create or replace temp table contact_limits (channel varchar, max_contacts integer, days integer)")
    if limits:
        con.executemany("insert into contact_limits values (?, ?, ?)", sorted(limits))


def build_contactability(con, report: Callable[[str, int], None]) -> None:
    """marts.contactability as of the cut-off whose facts were built last, which is tonight.

    work.addresses (customer_id, has_email, has_phone, has_address, has_social) holds whether there was an address then,
    never which: vault.contacts tells of everything landed, also what became known later.
    """
    con.execute(
        """
        create or replace table work.addresses as
        -- a placeholder reaches nobody, an office's address not the person; one that several share reaches them all
        with nobodys as (
            select kind, identifier from blocked_identifiers where why = 'listed'
        ),

        mentioned as (
            select
                customer_map.customer_id,
                bool_or(
                    shown.email is not null and shown.email not in (select identifier from nobodys where kind = 'email')
                ) as has_email,
                bool_or(
                    shown.phone is not null and shown.phone not in (select identifier from nobodys where kind = 'phone')
                ) as has_phone
            from customer_references as shown
            inner join customer_map using (source, customer_key)
            cross join night
            where shown.seen_at is null or shown.seen_at < night.as_of_utc
            group by customer_map.customer_id
        ),

        -- the first interval extends backwards to the registration, as in attribute_facts
        described as (
            select
                customer_id,
                arg_min(
                    email is not null and email not in (select identifier from nobodys where kind = 'email'),
                    coalesce(valid_to, 'infinity')
                ) as has_email,
                arg_min(
                    phone is not null and phone not in (select identifier from nobodys where kind = 'phone'),
                    coalesce(valid_to, 'infinity')
                ) as has_phone,
                arg_min(address is not null, coalesce(valid_to, 'infinity')) as has_address,
                arg_min(coalesce(wechat, social_account) is not null, coalesce(valid_to, 'infinity')) as has_social
            from golden_records
            cross join night
            where
                (valid_to is null or valid_to > night.as_of)
                and (registered_at is null or registered_at < night.as_of_utc)
            group by customer_id
        )

        select
            customer_id,
            coalesce(described.has_email, false) or coalesce(mentioned.has_email, false) as has_email,
            coalesce(described.has_phone, false) or coalesce(mentioned.has_phone, false) as has_phone,
            coalesce(described.has_address, false) as has_address,
            coalesce(described.has_social, false) as has_social
        from mentioned
        full join described using (customer_id)
        """
    )
    sql = (FOLDER / "marts" / "contactability.sql").read_text(encoding="utf-8")
    con.execute(f"create or replace table marts.contactability as {sql}")
    report("marts.contactability", value(con, "select count(*) from marts.contactability"))
