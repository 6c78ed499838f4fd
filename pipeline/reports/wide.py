"""The wide form of the tags: SQL giving one row per customer or company and one column per tag, for CSV and workbook."""

from dataclasses import dataclass

# number columns beside the tags: SQL over facts, clv and churn, then the headings
NUMBERS = (
    ("facts.recency_days", "Days since last order", "距上次购买天数"),
    ("facts.order_count", "Orders", "累计订单数"),
    ("facts.net_spend_amount", "Net spend", "累计净消费"),
    ("facts.net_spend_365d_amount", "Net spend, 365 days", "近365天净消费"),
    ("round(clv.clv_365d_amount, 2)", "Expected value, 365 days", "未来365天预期价值"),
    ("round(churn.churn_probability, 4)", "Churn probability", "流失概率"),
)
COMPANY_NUMBERS = (
    ("company.contact_count", "Known contacts", "已知联系人数"),
    ("company.recency_days", "Days since last order", "距上次下单天数"),
    ("company.order_count", "Orders", "累计订单数"),
    ("company.net_spend_amount", "Net spend", "累计净消费"),
    ("company.net_spend_365d_amount", "Net spend, 365 days", "近365天净消费"),
    ("company.open_opportunity_count", "Open opportunities", "在谈商机数"),
    ("company.open_opportunity_amount", "Open amount", "在谈商机金额"),
    ("round(company.weighted_opportunity_amount, 2)", "Open amount by chance", "在谈商机加权金额"),
    ("company.next_expected_close_on", "Next expected close", "最近预计成交日"),
    ("round(company.win_share, 4)", "Win share", "赢单率"),
)
RISKY_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class WideTable:
    """query: SQL with columns `headings`, ordered by the id. Headings are safe to open in a spreadsheet."""

    query: str
    headings: tuple[str, ...]


def quote_text(text):
    """A Python string as an SQL text literal."""
    return "'" + str(text).replace("'", "''") + "'"


def safe_cell(expression):
    """SQL: a text that a spreadsheet would take for a formula gets a leading apostrophe; others stay as they are."""
    starts = ", ".join(f"chr({ord(start)})" for start in RISKY_STARTS)
    return f"case when left({expression}, 1) in ({starts}) then '''' || ({expression}) else {expression} end"


def safe_heading(text):
    """The same for a heading known in Python."""
    return f"'{text}" if text.startswith(RISKY_STARTS) else text


def make_wide_table(con, language, customers=None, neutralise=True):
    """Compose the wide table of customers. Every customer of marts.customer_facts has a row, tagged or not.

    language: 'zh' or 'en', for headings and value names. customers: SQL giving the customer_id to keep, None for all.
    neutralise: give risky texts an apostrophe (a CSV needs it; a workbook stores text as text).
    """
    keep = f"where customer_id in ({customers})" if customers else ""
    yes, no = ("是", "否") if language == "zh" else ("yes", "no")
    allowed = f"case when facts.is_marketing_allowed then {quote_text(yes)} else {quote_text(no)} end"
    rows = f"""
        from (select * from marts.customer_facts {keep}) as facts

        left join wide
            on facts.customer_id = wide.customer_id

        left join scores.clv as clv
            on facts.customer_id = clv.customer_id

        left join scores.churn as churn
            on facts.customer_id = churn.customer_id

        order by facts.customer_id"""
    first = (
        (_cell("facts.customer_id", neutralise), "Customer id", "客户编号"),
        (allowed, "Marketing allowed", "可营销"),
    )
    held = f"(select * from tags.customer_tags {keep})"
    return _compose(con, language, "customer", held, rows, first, NUMBERS, neutralise)


def make_company_table(con, language):
    """Compose the wide table of companies: every company of marts.company_facts, with its name from core."""
    rows = """
        from marts.company_facts as company

        left join wide
            on company.company_id = wide.company_id

        left join core.companies as companies
            on company.company_id = companies.company_id

        order by company.company_id"""
    first = (("company.company_id", "Company id", "企业编号"), (safe_cell("companies.name"), "Name", "企业名称"))
    return _compose(con, language, "company", "tags.company_tags", rows, first, COMPANY_NUMBERS, True)


def _cell(expression, neutralise):
    return safe_cell(expression) if neutralise else expression


def _compose(con, language, level, held, rows, first, numbers, neutralise):
    """The wide table of a level. held: SQL relation of its tags; rows: FROM clause that joins `wide` to who has a row.

    first, numbers: (SQL, heading, Chinese heading) of the columns before and after the tags. A single value travels
    through the aggregation as its small number, so that a million customers and fifty tags need fixed-size states; it is
    named in the last step.
    """
    name = "name_zh" if language == "zh" else "name"
    tags = con.execute(
        f"select tag, position, {name}, is_multi_valued from tags.catalogue where level = ? order by position", [level]
    ).fetchall()
    joiner = "、" if language == "zh" else "; "
    aggregates, columns = [], []
    for tag, position, _, is_multi_valued in tags:
        if is_multi_valued:
            value_name = "value_name_zh" if language == "zh" else "value_name"
            aggregates.append(
                f"string_agg({value_name}, {quote_text(joiner)} order by value_position)"
                f" filter (tag_position = {position}) as tag_{position}"
            )
            columns.append(_cell(f"wide.tag_{position}", neutralise))
        else:
            aggregates.append(f"max(value_position) filter (tag_position = {position}) as tag_{position}")
            names = f"(select list({name} order by position) from tags.catalogue_values where tag = {quote_text(tag)})"
            columns.append(f"{names}[wide.tag_{position} + 1]" if not neutralise else _named_safely(names, position))
    headings = _make_headings(language, tags, first, numbers)
    outputs = [*(output for output, _, _ in first), *columns, *(number for number, _, _ in numbers)]
    selected = ",\n".join(
        f'{output} as "{heading.replace(chr(34), chr(34) * 2)}"'
        for output, heading in zip(outputs, headings, strict=True)
    )
    query = f"""
        with held as (

            select
                carried.{level}_id,
                catalogue.position as tag_position,
                catalogue_values.position as value_position,
                carried.value_name,
                carried.value_name_zh

            from {held} as carried

            inner join tags.catalogue as catalogue
                on carried.tag = catalogue.tag

            inner join tags.catalogue_values as catalogue_values
                on carried.tag = catalogue_values.tag
                and carried.value = catalogue_values.value

        ),

        wide as (

            select {level}_id, {", ".join(aggregates) or "null as untagged"}
            from held
            group by {level}_id

        )

        select
            {selected}
        {rows}"""
    return WideTable(query, headings)


def _named_safely(names, position):
    """Neutralise the short list of names, not the million cells."""
    return f"list_transform({names}, lambda name: {safe_cell('name')})[wide.tag_{position} + 1]"


def _make_headings(language, tags, first, numbers):
    is_zh = language == "zh"
    headings = [heading_zh if is_zh else heading for _, heading, heading_zh in first]
    headings += [name for _, _, name, _ in tags]
    headings += [heading_zh if is_zh else heading for _, heading, heading_zh in numbers]
    codes = [*(None for _ in first), *(tag for tag, _, _, _ in tags), *(None for _ in numbers)]
    taken, unique = set(), []
    for heading, code in zip(headings, codes, strict=True):
        if heading.lower() in taken:
            heading = f"{heading} ({code or len(unique) + 1})"
        taken.add(heading.lower())
        unique.append(safe_heading(heading))
    return tuple(unique)
