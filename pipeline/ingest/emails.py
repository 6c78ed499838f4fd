"""E-mail addresses in one normal form: the usual ones in SQL, the rest (display names, full-width, other scripts) here."""

import re
import unicodedata
from functools import lru_cache

import idna

# dots side by side before the @ are against the rules and yet in use; a first one is not
LOCAL = r"[A-Za-z0-9!#$%&''+/=?^_`{|}~\-][A-Za-z0-9!#$%&''+/=?^_`{|}~.\-]*"
LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?"
USUAL = rf"{LOCAL}@(?:{LABEL}\.)+{LABEL}"
SHOWN = re.compile(r"[^<>]*<([^<>]+)>")
ADDRESS = re.compile(r"((?!\.)[^@\s,;<>\"*]+)@([^@\s,;<>\"*]+\.[^@\s.,;<>\"*]+)")


def define_emails(con) -> None:
    """The function read_email(text) of a connection: see read_email."""
    con.create_function("read_email", read_email, ["VARCHAR"], "VARCHAR", null_handling="special")


@lru_cache(maxsize=200_000)
def read_email(text: str | None) -> str | None:
    """The one address in a text in lower case, its domain as IDNA; None where there is none, or it is masked with *."""
    if text is None:
        return None
    text = unicodedata.normalize("NFKC", text).strip()
    if match := SHOWN.fullmatch(text):
        text = match[1].strip()
    if text.lower().startswith("mailto:"):
        text = text[len("mailto:") :].split("?")[0].strip()
    match = ADDRESS.fullmatch(text)
    if not match:
        return None
    local, domain = match.groups()
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode()
        except idna.IDNAError:
            return None
    if any(not label or label[0] == "-" or label[-1] == "-" for label in domain.split(".")):
        return None
    return f"{local}@{domain}".lower()


def address_sql(cell: str) -> str:
    """SQL for the normal form of an address; null where the text is none."""
    return f"case when regexp_full_match({cell}, '{USUAL}') then lower({cell}) when {cell} is not null then read_email({cell}) end"
