"""From the guesses to one mapping: the entities that a table feeds, and where each of their columns comes from."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.inspect.guess import ASSUMED, SURE, EntityGuess, guess_entities
from pipeline.ingest.inspect.profile import ColumnProfile, TableProfile
from pipeline.ingest.inspect.words import concepts_of

# contract columns that tell of the lines of an order, and of the person beside what the file is about
LINE_TELLING = ("sku", "name", "quantity", "unit_price")
PERSON_TELLING = (
    "name",
    "surname",
    "given_name",
    "gender",
    "birth_date",
    "age_band",
    "address",
    "loyalty_tier",
    "occupation",
)
PERSON_COLUMNS = (
    *PERSON_TELLING,
    *(
        "national_id",
        "education",
        "marital_status",
        "income_band",
        "company",
        "country",
        "province",
        "city",
        "district",
    ),
    *("postal_code", "email", "phone", "wechat", "social_account", "loyalty_points"),
)
LIKELY = 0.3


@dataclass(frozen=True)
class Planned:
    """Where one contract column comes from. header "" with no constant: to be filled in, or the record's number for a key.

    is_summed: the lines of one order are added up. is_sure is False where a person should look twice.
    """

    header: str = ""
    constant: str = ""
    is_summed: bool = False
    is_opposite: bool = False
    is_sure: bool = True
    rivals: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def headers(self):
        """Every column of the export that it reads."""
        return (*((self.header,) if self.header else ()), *self.also)


@dataclass(frozen=True)
class EntityPlan:
    """One entity of the proposal. missing: required columns that no column of the file is. needs: a line with none of
    these cells is none of it."""

    entity: str
    columns: dict[str, Planned]
    fold: bool = False
    missing: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A whole proposal. guess: of the main entity, None where the table looks like nothing known.

    nearly: what the rest of the columns tells of, were a required one not missing.
    """

    entities: tuple[EntityPlan, ...]
    guess: EntityGuess | None
    runner_up: EntityGuess | None
    personal_ids: bool = False
    nearly: tuple[EntityGuess, ...] = ()

    def headers(self):
        """Header -> (entity, column) of all that is mapped."""
        found = {}
        for entity in self.entities:
            for name, planned in entity.columns.items():
                for header in planned.headers():
                    found.setdefault(header, []).append((entity.entity, name))
        return found


def plan_table(table: TableProfile, hint: str, constant_columns: Callable[[ColumnProfile], dict[str, bool]]) -> Plan:
    """The mapping to propose for a table. hint: the name of its file or sheet. constant_columns(key): which columns are the
    same on all lines of one key; {} where no key stands on several."""
    guesses = guess_entities(table, hint)
    ranked = list(guesses.values())
    best = ranked[0]
    if best.score < LIKELY or not best.matches:
        likeliest = max(ranked, key=lambda guess: sum(match.score for match in guess.matches.values()))
        if not likeliest.matches:
            return Plan((), None, None)
        best = likeliest
    if best.entity in ("orders", "order_items"):
        plans = _order_plans(table, guesses, constant_columns)
        best = guesses[plans[0].entity]
    else:
        plans = [_plan(best)]
    plans += _beside(table, guesses, plans)
    plans, is_personal = _with_one_customer_id(table, plans)
    mapped = {plan.entity for plan in plans}
    runner_up = next((guess for guess in ranked if guess.entity not in mapped and guess.matches), None)
    return Plan(tuple(plans), best, runner_up, is_personal, _nearly(ranked, plans))


def _nearly(ranked, plans):
    """Entities that two or more columns speak for which nothing else needs, but that lack a required one."""
    taken = {header for plan in plans for planned in plan.columns.values() for header in planned.headers()}
    mapped = {plan.entity for plan in plans}
    found = []
    for guess in ranked:
        own = {
            name: match for name, match in guess.matches.items() if match.header not in taken and match.score >= SURE
        }
        # a key may be the record's place in the file
        missing = tuple(name for name in guess.missing if name not in load_contracts()[guess.entity].key)
        if guess.entity not in mapped and missing and len(own) >= 2:
            telling = tuple(name for name in guess.telling if name in own)
            found.append(replace(guess, matches=own, telling=telling, missing=missing))
            taken |= {match.header for match in own.values()}
    return tuple(found)


def _plan(guess, fold=False):
    columns = {
        name: Planned(
            match.header, is_opposite=match.is_opposite, is_sure=match.is_sure, rivals=match.rivals, also=match.also
        )
        for name, match in guess.matches.items()
    }
    for name in guess.missing:
        if (guess.entity, name) in ASSUMED:
            columns[name] = Planned(constant=ASSUMED[guess.entity, name], is_sure=False)
    contract = load_contracts()[guess.entity]
    missing = tuple(name for name in guess.missing if name not in columns and name not in contract.key)
    return EntityPlan(guess.entity, _in_order(guess.entity, columns), fold, missing)


def _in_order(entity, columns):
    return {name: columns[name] for name in load_contracts()[entity].columns if name in columns}


def _order_plans(table, guesses, constant_columns):
    """The plans of a file of orders, of their lines, or of both at once: one line of the file per article of an order."""
    orders, lines = guesses["orders"], guesses["order_items"]
    telling = [name for name in LINE_TELLING if name in lines.matches and lines.matches[name].score >= SURE]
    has_lines = len(telling) >= 2 and "order_id" in lines.matches and "quantity" in lines.matches
    has_orders = "order_id" in orders.matches and "ordered_at" in orders.matches
    if not has_orders and has_lines:
        return [_plan(lines)]
    if "order_id" not in orders.matches:
        return [_plan(orders)]
    key = orders.matches["order_id"].header
    column = next(column for column in table.columns if column.header == key)
    comes_again = column.distinct < table.records - column.blanks
    constant = constant_columns(column) if comes_again else {}
    order_plan = _plan(orders, fold=comes_again or has_lines)
    columns = dict(order_plan.columns)
    if not has_lines:
        return [replace(order_plan, columns=_summed(columns, constant))]
    line_columns = dict(_plan(lines).columns)
    line_columns["order_id"] = columns["order_id"]
    if "net" not in columns and "amount" in line_columns:
        columns["net"] = replace(line_columns["amount"], is_summed=True, is_sure=False)
    net = columns.get("net")
    if "amount" not in line_columns and net and not constant.get(net.header, False):
        line_columns["amount"] = replace(net, is_sure=False)
    for name, planned in list(line_columns.items()):
        if name in ("order_id", "amount"):
            continue
        # what is the same on every line of an order, and mapped there, is the order's
        if planned.header in {one.header for one in columns.values()} and constant.get(planned.header, not comes_again):
            del line_columns[name]
    own = {planned.header for name, planned in line_columns.items() if name in LINE_TELLING}
    columns = {name: planned for name, planned in columns.items() if planned.header not in own}
    order_missing = tuple(name for name in order_plan.missing if name not in columns)
    found = [replace(order_plan, columns=_in_order("orders", _summed(columns, constant)), missing=order_missing)]
    if "amount" in line_columns:
        found.append(EntityPlan("order_items", _in_order("order_items", line_columns)))
    return found


def _summed(columns, constant):
    """Amounts that differ between the lines of an order add up to the order's."""
    contract = load_contracts()["orders"]
    return {
        name: replace(planned, is_summed=True, is_sure=False)
        if contract.columns[name].type == "money" and planned.header and not constant.get(planned.header, True)
        else planned
        for name, planned in columns.items()
    }


def _beside(table, guesses, plans):
    """Customers whom another entity's file describes, their memberships, and payments that an order's file tells of."""
    main = plans[0]
    contract = load_contracts()[main.entity]
    found = []
    if main.entity != "customers" and contract.has_customer and main.entity != "consents":
        taken = {header for plan in plans for planned in plan.columns.values() for header in planned.headers()}
        columns = {
            name: planned
            for name, planned in _plan(guesses["customers"]).columns.items()
            if name in PERSON_COLUMNS and (planned.header not in taken or planned == main.columns.get(name))
        }
        for name in ("email", "phone"):
            if name in main.columns:
                columns[name] = main.columns[name]
        if any(name in columns for name in PERSON_TELLING):
            if "source_customer_id" in main.columns:
                columns["source_customer_id"] = main.columns["source_customer_id"]
            if columns.keys() & {"source_customer_id", "email", "phone"}:
                found.append(EntityPlan("customers", _in_order("customers", columns), fold=True))
    if main.entity == "customers":
        found += _memberships(table, guesses, main)
    payments = guesses["payments"]
    named = payments.matches.get("payment_id")
    # a bare `No` is the order's, or anything's
    if (
        main.entity == "orders"
        and named
        and named.score >= SURE
        and {"pay", "transaction"} & set(concepts_of(named.header))
    ):
        columns = dict(_plan(payments).columns)
        if (
            columns["payment_id"].header not in {planned.header for planned in main.columns.values()}
            and "net" in main.columns
        ):
            columns = {"order_id": main.columns["order_id"], "amount": main.columns["net"], **columns}
            found.append(EntityPlan("payments", _in_order("payments", columns), fold=main.fold))
    return found


def _memberships(table, guesses, main):
    """The subscriptions that a file of members tells of: what begins and ends, and is a plan, a fee or in some state."""
    guess = guesses["subscriptions"]
    names = {"source_customer_id", "started_at", "ended_at", "plan", "amount", "status"}
    columns = {name: planned for name, planned in _plan(guess).columns.items() if name in names}
    if not columns.keys() >= {"started_at", "ended_at"} or not columns.keys() & {"plan", "amount", "status"}:
        return []
    key = main.columns.get("source_customer_id")
    if key is None or not key.header:
        return []
    columns["source_customer_id"] = key
    member = next(column for column in table.columns if column.header == key.header)
    if member.kind in ("id", "integer") and member.is_unique(table.records):
        # one line a member: the next export has it again, in whatever order
        columns["subscription_id"] = replace(key, is_sure=False)
    return [EntityPlan("subscriptions", _in_order("subscriptions", columns))]


def _with_one_customer_id(table, plans):
    """(the plans with the same customer id in all, whether it is personal: a phone, an e-mail or a nickname)."""
    described = next((plan for plan in plans if plan.entity == "customers"), None)
    if described and "source_customer_id" not in described.columns:
        stand_in = next(
            (name for name in ("email", "phone", "wechat", "social_account") if name in described.columns), None
        )
        if stand_in:
            planned = replace(described.columns[stand_in], is_sure=False)
            plans = [
                replace(plan, columns=_in_order(plan.entity, {"source_customer_id": planned, **plan.columns}))
                if "source_customer_id" in load_contracts()[plan.entity].columns
                else plan
                for plan in plans
            ]
    ids = {plan.columns["source_customer_id"].header for plan in plans if "source_customer_id" in plan.columns}
    blank = {column.header for column in table.columns if column.blanks}
    plans = [
        replace(plan, needs=(plan.columns["source_customer_id"].header,))
        if plan.entity == "customers" and plan.fold and plan.columns["source_customer_id"].header in blank
        else plan
        for plan in plans
    ]
    kinds = {column.header: column.kind for column in table.columns}
    personal = {plan.columns[name].header for plan in plans for name in PERSON_COLUMNS if name in plan.columns}
    is_personal = any(kinds.get(header) in ("phone", "email", "text") or header in personal for header in ids if header)
    return plans, is_personal
