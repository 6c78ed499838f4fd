"""A tag of the catalogue as SQL over the joined row: who carries it, with which value, how sure, on what numbers."""

from dataclasses import replace

from pipeline.tags.expressions import ROWS, joined_row, quote_text, relations_used


def tagged_rows(tag):
    """SQL giving who carries a tag (customer_id or company_id), value, value_name, value_name_zh, confidence, evidence."""
    if tag.value_from:
        return _open_valued_rows(tag)
    if not tag.is_multi_valued:
        return _first_value_rows(tag)
    return "\nunion all\n".join(_condition_rows(tag, value) for value in tag.values)


def chinese_evidence(catalogue):
    """{tag: SQL giving customer_id, value and evidence in Chinese} of the customers' tags that have such.

    Not kept in tags.customer_tags, where it would be a text more for each of tens of millions of rows: files made of a
    few thousand customers reckon it.
    """
    found = {}
    for tag in catalogue.tags:
        values = tuple(replace(value, evidence=value.evidence_zh) for value in tag.values)
        chinese = replace(tag, evidence=tag.evidence_zh, values=values)
        if tag.level == "customer" and chinese != tag:
            found[tag.code] = f"select customer_id, value, evidence from ({tagged_rows(chinese)})"
    return found


def _condition_rows(tag, value):
    return f"""
        select
            {_carrier(tag)},
            {quote_text(value.code)} as value,
            {quote_text(value.name)} as value_name,
            {quote_text(value.name_zh)} as value_name_zh,
            cast({value.confidence} as double) as confidence,
            cast({value.evidence} as varchar) as evidence
        from {_row_of(tag)}
        where ({value.when}) and {_leave_to_profile(tag)}"""


def _first_value_rows(tag):
    """The first value whose condition holds: its place in the list is found per customer, then named."""

    def by_condition(expressions):
        if len(set(expressions)) == 1:
            return expressions[0]
        pairs = zip(tag.values, expressions, strict=True)
        return "case " + " ".join(f"when ({value.when}) then ({text})" for value, text in pairs) + " end"

    def by_place(texts):
        return "case place " + " ".join(f"when {n} then {quote_text(text)}" for n, text in enumerate(texts)) + " end"

    return f"""
        select
            {tag.level}_id,
            {by_place(value.code for value in tag.values)} as value,
            {by_place(value.name for value in tag.values)} as value_name,
            {by_place(value.name_zh for value in tag.values)} as value_name_zh,
            confidence,
            evidence
        from (
            select
                {_carrier(tag)},
                case {" ".join(f"when ({value.when}) then {n}" for n, value in enumerate(tag.values))} end as place,
                cast({by_condition([value.confidence for value in tag.values])} as double) as confidence,
                cast({by_condition([value.evidence for value in tag.values])} as varchar) as evidence
            from {_row_of(tag)}
            where {_leave_to_profile(tag)}
        )
        where place is not null"""


def _open_valued_rows(tag):
    names = tag.value_name_from or (None, None)

    def named(known, other):
        whens = " ".join(f"when {quote_text(value.code)} then {quote_text(known(value))}" for value in tag.values)
        return f"case value {whens} else {other} end" if whens else other

    return "\nunion all\n".join(
        f"""
        select
            {tag.level}_id,
            value,
            {named(lambda value: value.name, "value_name")} as value_name,
            {named(lambda value: value.name_zh, "value_name_zh")} as value_name_zh,
            confidence,
            evidence
        from (
            select
                {_carrier(tag)},
                cast({source} as varchar) as value,
                cast({names[0] or source} as varchar) as value_name,
                cast({names[1] or source} as varchar) as value_name_zh,
                cast({tag.confidence} as double) as confidence,
                cast({tag.evidence} as varchar) as evidence
            from {_row_of(tag)}
            where {_leave_to_profile(tag)}
        )
        where value <> ''"""
        for source in tag.value_from
    )


def _relations_of(tag):
    expressions = [tag.confidence, tag.evidence, *tag.value_from, *(tag.value_name_from or ())]
    for value in tag.values:
        expressions += [value.when, value.confidence, value.evidence]
    return relations_used(*expressions)


def _row_of(tag):
    return joined_row(_relations_of(tag), tag.level)


def _carrier(tag):
    return f"{ROWS[tag.level][0]}.{tag.level}_id"


def _leave_to_profile(tag):
    """A tag of a model, or of any kind that reads a score, is not for who refused profiling."""
    is_profile = tag.level == "customer" and (tag.kind == "model" or _relations_of(tag) - {"facts"})
    return "facts.is_profiling_allowed is distinct from false" if is_profile else "true"
