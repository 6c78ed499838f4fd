"""Which records of companies are one: the key companies of identity.yaml, or of the user's rules.yaml in its place."""

from pathlib import Path

from pipeline.ingest.contracts import ContractError
from pipeline.transform.identity_rules import load_rules

# what a rule may compare
COLUMNS = ("registration_id", "domain", "name", "country", "province", "city")
NEEDED, OPTIONAL = {"columns", "max_records"}, {"unless_differs"}


def load_company_rules(user_folder: Path) -> dict:
    """The key companies of identity.yaml, or of the user's rules.yaml in its place. Raises ContractError or IdentityError."""
    rules = load_rules(user_folder)["companies"]
    check_company_rules(rules, "rules.yaml")
    return rules


def check_company_rules(rules, where: str) -> None:
    """Raises ContractError, naming the place and the mend, unless the rules are as identity.yaml shows them."""
    if not isinstance(rules, dict) or set(rules) != {"links", "blocked"}:
        raise ContractError(f"{where}: companies: write links and blocked, as identity.yaml does")
    if not isinstance(rules["links"], list) or not isinstance(rules["blocked"], dict):
        raise ContractError(f"{where}: companies: links is a list of rules, blocked a list of values for each column")
    for place, rule in enumerate(rules["links"], start=1):
        named = f"{where}: companies: links: rule {place}"
        if not isinstance(rule, dict) or not NEEDED <= set(rule) <= NEEDED | OPTIONAL:
            raise ContractError(f"{named}: write columns and max_records, and unless_differs where it is wanted")
        if not isinstance(rule["max_records"], int) or rule["max_records"] < 2:
            raise ContractError(f"{named}: max_records: {rule['max_records']!r}; write a whole number, 2 or more")
        for field in ("columns", "unless_differs"):
            columns = rule.get(field, ["name"])
            if not isinstance(columns, list) or not columns or not set(columns) <= set(COLUMNS):
                raise ContractError(f"{named}: {field}: {columns!r}; write a list of {', '.join(COLUMNS)}")
    for column, values in rules["blocked"].items():
        if column not in COLUMNS or not isinstance(values, list):
            raise ContractError(
                f"{where}: companies: blocked: {column}: write a list under one of {', '.join(COLUMNS)}"
            )
