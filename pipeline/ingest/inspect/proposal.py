"""A plan as a source YAML that a person can edit: it loads as it stands, and says what is unsure beside each line."""

import re
from dataclasses import dataclass

from pipeline.ingest.contracts import load_contracts
from pipeline.ingest.inspect.masks import is_harmless_word
from pipeline.ingest.inspect.plan import EntityPlan, Plan
from pipeline.ingest.inspect.profile import MOMENT_KINDS, NUMBER_KINDS, ColumnProfile, TableProfile
from pipeline.ingest.inspect.wording import kind_word, say
from pipeline.ingest.inspect.words import canonical_words
from pipeline.ingest.rules import FALSE_WORDS, TRUE_WORDS

PLAIN = re.compile(r"[^\W\d][\w.-]*( [\w.-]+)*")
YAML_WORDS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
APPENDED = ("interactions", "feedback", "consents")
SIGNS = {"CNY": "￥¥元", "USD": "$", "EUR": "€", "GBP": "£", "JPY": "円"}
# what speaks most for a layout is enough to know it by, and two columns are in many exports
LEAST_SIGNATURE, MAX_SIGNATURE = 4, 6


@dataclass(frozen=True)
class TableForm:
    """How a table stands in its file. columns: the header's own cells, by which a layout knows it; "" where it stands twice.
    is_rendition: taken out of a workbook, JSON or Parquet, where nothing need be said of delimiter and encoding."""

    file_name: str
    delimiter: str
    quote: str
    encoding: str
    has_header: bool
    headers: tuple[str, ...]
    is_rendition: bool = False


def propose(name: str, source: str, form: TableForm, table: TableProfile, plan: Plan, settings) -> str:
    """The YAML text of a plan with at least one entity. name: of the layout and its file; source: that of all tables beside."""
    language = settings.language
    columns = {column.header: column for column in table.columns}
    main = plan.entities[0]
    lines = [
        f"# {say(language, 'y_head', file=scalar(form.file_name))}",
        f"layout: {scalar(name)}",
        f"source: {scalar(source)}  # {say(language, 'y_source')}",
        "match:",
    ]
    if form.has_header:
        lines.append(f"  columns: [{', '.join(scalar(header) for header in _signature(form, plan))}]")
    else:
        lines.append(f"  file: {scalar(_pattern(form.file_name))}")
    lines += _read_lines(form, table)
    lines.append(_timezone_line(plan, columns, settings))
    currency = _currency_line(plan, columns, settings)
    lines += [currency] if currency else []
    delivery = "append" if main.entity in APPENDED else "delta"
    lines.append(f"delivery: {delivery}  # {say(language, 'y_delivery')}")
    if plan.personal_ids:
        lines.append(f"personal_ids: true  # {say(language, 'y_personal')}")
    lines.append("entities:")
    for entity in plan.entities:
        lines += _entity_lines(entity, columns, table, language)
    lines += _unmapped_lines(plan, table, language)
    return "\n".join(lines) + "\n"


def scalar(text: str) -> str:
    """A text as one YAML word or in double quotes, whatever stands in it."""
    if PLAIN.fullmatch(text) and text.lower() not in YAML_WORDS:
        return text
    escaped = "".join(
        f"\\{one}" if one in '"\\' else one if one.isprintable() else f"\\U{ord(one):08x}" for one in text
    )
    return f'"{escaped}"'


def _read_lines(form, table):
    options = []
    if not form.is_rendition:
        options += [f"  delimiter: {scalar(form.delimiter)}", f"  encoding: {scalar(form.encoding)}"]
        if form.quote != '"' and form.delimiter != "whitespace":
            options.append(f"  quote: {scalar(form.quote)}")
    if table.decimal == ",":
        options.append('  decimal: ","')
    if not form.has_header:
        names = ", ".join(scalar(column.header) for column in table.columns)
        options += ["  header: false", f"  column_names: [{names}]"]
    return ["read:", *options] if options else []


def _pattern(file_name):
    """orders_20240301.csv -> orders_*.csv: the next export has another date."""
    return re.sub(r"\*+", "*", re.sub(r"\d+([-_.]\d+)*(?=.*\.)", "*", file_name))


def _signature(form, plan):
    """The header cells to know the layout by: what the required columns come from, then what speaks most."""
    mapped = {}
    for entity in plan.entities:
        contract = load_contracts()[entity.entity]
        for name, planned in entity.columns.items():
            if planned.header:
                worth = (contract.columns[name].required, planned.is_sure)
                mapped[planned.header] = max(mapped.get(planned.header, (False, False)), worth)
    ranked = sorted((one for one in mapped if one in form.headers), key=lambda one: mapped[one], reverse=True)
    others = [one for one in form.headers if one and one not in ranked]
    return ranked[:MAX_SIGNATURE] + others[: max(0, LEAST_SIGNATURE - len(ranked))]


def _mapped(plan, columns, kinds):
    return [columns[header] for header in plan.headers() if columns[header].kind in kinds]


def _timezone_line(plan, columns, settings):
    moments = [column.moments for column in _mapped(plan, columns, MOMENT_KINDS) if column.moments]
    has_offset = moments and all(
        "%z" in form or form.endswith("Z") or form.startswith("epoch_") for one in moments for form in one.formats
    )
    phrase = "y_timezone_idle" if has_offset else "y_timezone"
    return f"timezone: {settings.business_timezone}  # {say(settings.language, phrase)}"


def _currency_line(plan, columns, settings):
    contracts = load_contracts()
    has_money = any(
        planned.header and contracts[entity.entity].columns[name].type == "money"
        for entity in plan.entities
        for name, planned in entity.columns.items()
    )
    if not has_money or any("currency" in entity.columns for entity in plan.entities):
        return None
    cells = "".join(cell for column in _mapped(plan, columns, ("money",)) for cell in column.cells)
    signed = [code for code, signs in SIGNS.items() if any(sign in cells for sign in signs)]
    code = signed[0] if len(signed) == 1 else settings.reporting_currency
    by_sign = f"; {say(settings.language, 'y_currency_sign')}" if len(signed) == 1 else ""
    return f"currency: {code}  # {say(settings.language, 'y_currency')}{by_sign}"


def _entity_lines(entity: EntityPlan, columns, table, language):
    contract = load_contracts()[entity.entity]
    lines = [f"  {entity.entity}:"]
    if entity.fold:
        lines.append("    fold: true")
    if entity.needs:
        lines.append(f"    needs: [{', '.join(scalar(header) for header in entity.needs)}]")
    lines.append("    columns:")
    for name in contract.columns:
        if name in entity.columns:
            lines += _column_lines(entity.entity, contract.columns[name], entity.columns[name], columns, language)
        elif name in entity.missing:
            near = [scalar(one.header) for one in table.columns if one.kind in _kinds_of(contract.columns[name].type)]
            perhaps = f"; {say(language, 'y_candidates', columns=', '.join(near[:5]))}" if near else ""
            lines.append(f"      {name}: {scalar(say(language, 'y_fill'))}  # {say(language, 'y_required')}{perhaps}")
        elif name in contract.key:
            is_place = name == "line" and "order_id" in entity.columns
            origin = "{from: place, within: order_id}" if is_place else "{from: record_number}"
            lines.append(f"      {name}: {origin}  # {say(language, 'y_no_line' if is_place else 'y_no_id')}")
    return lines


def _kinds_of(contract_type):
    return {"timestamp": MOMENT_KINDS, "date": MOMENT_KINDS, "money": NUMBER_KINDS, "decimal": NUMBER_KINDS}.get(
        contract_type, ()
    )


def _column_lines(entity, target, planned, columns, language):
    """The lines of one contract column: short where nothing but the header is to be said."""
    if planned.constant:
        return [f"      {target.name}: {{constant: {planned.constant}}}  # {say(language, 'y_constant')}"]
    column = columns[planned.header]
    origin = "column"
    cells = scalar(planned.header)
    if planned.also:
        origin = "join" if target.name == "address" else "column"
        cells = f"[{', '.join(scalar(header) for header in planned.headers())}]"
    options = [f"fold: sum  # {say(language, 'y_summed')}"] if planned.is_summed else []
    if target.name == "probability" and column.high and float(column.high) > 1:
        options.append(f"divide_by: 100  # {say(language, 'y_percent')}")
    options += _format_lines(target, column, language)
    options += _value_lines(entity, target, planned, column, language)
    notes = [] if planned.is_sure else [say(language, "y_unsure")]
    if planned.rivals:
        notes.append(say(language, "y_rival", rivals=", ".join(scalar(one) for one in planned.rivals[:3])))
    note = f"  # {'; '.join(notes)}" if notes else ""
    if not options and origin == "column":
        return [f"      {target.name}: {cells}{note}"]
    return [
        f"      {target.name}:{note}",
        f"        {origin}: {cells}",
        *(f"        {line}" for line in options),
    ]


def _format_lines(target, column: ColumnProfile, language):
    moments = column.moments
    if target.type not in MOMENT_KINDS or moments is None:
        return []
    if moments.is_ambiguous:
        by_order = sorted(
            [moments.formats, moments.other], key=lambda formats: "%m" in formats[0][:3] or "%b" in formats[0][:3]
        )
        return [
            f"# {say(language, 'y_ambiguous', count=moments.read)}",
            f"# format: {_formats(by_order[0])}  # {say(language, 'y_day_first')}",
            f"# format: {_formats(by_order[1])}  # {say(language, 'y_month_first')}",
        ]
    notes = []
    if moments.other_read:
        notes.append(say(language, "y_deciding", count=moments.read - moments.other_read, total=moments.read))
    unread = column.filled - moments.read
    if unread:
        notes.append(say(language, "y_unread", count=unread))
    return [f"format: {_formats(moments.formats)}" + (f"  # {'; '.join(notes)}" if notes else "")]


def _formats(formats):
    quoted = [scalar(form) for form in formats]
    return quoted[0] if len(quoted) == 1 else f"[{', '.join(quoted)}]"


def _value_lines(entity, target, planned, column: ColumnProfile, language):
    if target.type == "boolean":
        return _boolean_lines(planned, column, language)
    if target.name == "csat" and column.kind in NUMBER_KINDS:
        return _scale_lines(column, language)
    known = canonical_words(entity, target.name)
    if not known or not column.words:
        return []
    heard = {word: known[word.lower()] for word in column.words if word.lower() in known and is_harmless_word(word)}
    unknown = [word for word in column.words if word.lower() not in known and word.lower() not in target.values]
    if not unknown and all(word.lower() == meaning for word, meaning in heard.items()):
        return []
    lines = [f"  {scalar(word)}: {scalar(meaning)}" for word, meaning in heard.items()]
    # words of a column that is hardly what it was taken for may be anything
    if 2 * sum(column.words[word] for word in heard) >= sum(column.words.values()):
        shown = [word for word in unknown if is_harmless_word(word)]
        choice = say(language, "y_unknown_word", values=", ".join(target.values or dict.fromkeys(known.values())))
        lines += [f"  # {scalar(word)}: {choice}" for word in shown]
        unknown = [word for word in unknown if word not in shown]
    hidden = [f"# {say(language, 'y_hidden_words', count=len(unknown))}"] if unknown else []
    return (["values:", *lines] if heard else [line.strip() for line in lines]) + hidden


def _boolean_lines(planned, column, language):
    words = [word for word in column.words if word.lower() in TRUE_WORDS + FALSE_WORDS]
    if planned.is_opposite:
        meant = {word: "false" if word.lower() in TRUE_WORDS else "" for word in words}
        lines = [f"  {scalar(word)}: {scalar(meaning)}" for word, meaning in meant.items()]
        return [f"values:  # {say(language, 'y_opt_out')}", *lines] if lines else []
    others = [word for word in column.words if word not in words]
    hidden = [f"# {say(language, 'y_hidden_words', count=len(others))}"] if others else []
    return hidden


def _scale_lines(column, language):
    """Marks from 1 to 5, or 0 to 10, as the share of the scale, each as it is written."""
    marks = {}
    for cell in column.cells:
        text = cell.strip()
        if text.replace(".", "", 1).isdigit():
            marks[text] = float(text)
    low, high = (1, 5) if column.high and float(column.high) <= 5 and float(column.low) >= 1 else (0, 10)
    if not marks or len(marks) > 11 or max(marks.values()) > high:
        return []
    lines = [
        f"  {scalar(text)}: {scalar(f'{(mark - low) / (high - low):g}')}"
        for text, mark in sorted(marks.items(), key=lambda one: one[1])
    ]
    return [f"values:  # {say(language, 'y_scale', low=low, high=high)}", *lines]


def _unmapped_lines(plan, table, language):
    mapped = plan.headers()
    left = [column for column in table.columns if column.header not in mapped]
    if not left:
        return []
    return [
        f"# {say(language, 'y_unmapped')}",
        *(f"#   {scalar(one.header)} ({kind_word(language, one.kind)})" for one in left),
    ]
