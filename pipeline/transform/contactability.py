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

    Of the vault it reads whether there is an address, never which.
    """
    con.execute(
        """
        create or replace table work.addresses as
        select
            customer_id,
            email is not null as has_email,
            phone is not null as has_phone,
            address is not null as has_address,
            coalesce(wechat, social_account) is not null as has_social
        from vault.contacts
        """
    )
    sql = (FOLDER / "marts" / "contactability.sql").read_text(encoding="utf-8")
    con.execute(f"create or replace table marts.contactability as {sql}")
    report("marts.contactability", value(con, "select count(*) from marts.contactability"))
