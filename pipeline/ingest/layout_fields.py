"""The entities of a layout file and the fields of their columns, checked as they are read."""

import difflib
import re

from pipeline.ingest.contracts import ContractError, load_contracts
from pipeline.ingest.layouts import EntityMap, Field

ORIGINS = {"column", "join", "constant", "from"}
FIELD_OPTIONS = {
    *ORIGINS,
    "add",
    "subtract",
    "with",
    "within",
    "values",
    "format",
    "fold",
    "plus_minutes",
    "divide_by",
    "form",
    "when",
    "multiply",
    "word",
    "optional",
}
FORMS = ("salesforce_id", "first_listed", "clock", "opt_out", "keyed", "unmasked")
WORD = re.compile(r"[1-9]")
ENTITY_OPTIONS = {"columns", "fold", "carry_by", "carry", "needs", "unless", "keep"}


def read_entity(where, entity, spec):
    """An entity of a layout as an EntityMap. where: the layout's file. Raises ContractError naming the place and the mend."""
    contracts = load_contracts()
    if entity not in contracts:
        raise ContractError(f'{where}: entities: unknown entity "{entity}"; one of {", ".join(contracts)}')
    check_known(where, f"{entity}: ", as_mapping(where, entity, spec), ENTITY_OPTIONS)
    contract = contracts[entity]
    columns = {}
    for name, source in as_mapping(where, f"{entity}: columns", spec.get("columns")).items():
        if name not in contract.columns:
            near = difflib.get_close_matches(name, contract.columns, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"its columns: {', '.join(contract.columns)}"
            raise ContractError(f'{where}: {entity}: the contract has no column "{name}"; {hint}')
        columns[name] = _field(where, f"{entity}.{name}", contract.columns[name], source)
    for name in contract.key:
        columns.setdefault(name, Field(from_record=True))
    for name, column in contract.columns.items():
        if column.required and name not in columns:
            raise ContractError(f"{where}: {entity}: required column {name} is not mapped; add it under columns:")
    for name, one in columns.items():
        if one.within is not None and (one.within not in columns or columns[one.within].within is not None):
            raise ContractError(
                f"{where}: {entity}.{name}: within: names a mapped column of the contract, such as order_id"
            )
    return EntityMap(
        columns=columns,
        fold=as_flag(where, f"{entity}: fold", spec.get("fold", "false")),
        carry_by=as_text(where, f"{entity}: carry_by", spec.get("carry_by")),
        carry=as_names(where, f"{entity}: carry", spec.get("carry", [])),
        needs=as_names(where, f"{entity}: needs", spec.get("needs", [])),
        unless=_words(where, f"{entity}: unless", spec.get("unless", {})),
        keep=as_names(where, f"{entity}: keep", spec.get("keep", [])),
    )


def _field(where, name, contract_column, source):
    if isinstance(source, str) and source:
        return Field(column=(source,))
    if isinstance(source, list):
        source = {"column": source}
    if not isinstance(source, dict):
        raise ContractError(f"{where}: {name}: write a column's name, or column:, join:, constant:, from:, add:")
    check_known(where, f"{name}: ", source, FIELD_OPTIONS)
    origin = source.get("from", "record_number")
    if origin not in ("record_number", "place") or (origin == "place") != ("within" in source):
        raise ContractError(
            f"{where}: {name}: from: can be record_number (the record's place in its file), or place with within: a column"
        )
    if source.get("fold", "first") not in ("first", "sum"):
        raise ContractError(f"{where}: {name}: fold: can be first or sum")
    if len(source.keys() & ORIGINS) + bool(source.keys() & {"add", "subtract", "multiply"}) != 1:
        raise ContractError(
            f"{where}: {name}: needs one of column:, join:, constant:, from:, or multiply: and add: with subtract:"
        )
    if "with" in source and "join" not in source:
        raise ContractError(f"{where}: {name}: with: goes with join:")
    if "plus_minutes" in source and ("column" not in source or contract_column.type != "timestamp"):
        raise ContractError(f"{where}: {name}: plus_minutes: goes with the column: of a time")
    if "divide_by" in source and (source["divide_by"] != "100" or contract_column.type != "decimal"):
        raise ContractError(f"{where}: {name}: divide_by: can be 100, for a share written as 75")
    if source.get("form", FORMS[0]) not in FORMS:
        raise ContractError(f"{where}: {name}: form: can be {', '.join(FORMS)}")
    if source.get("form", "unmasked") != "unmasked" and contract_column.type == "text":
        raise ContractError(f"{where}: {name}: form: free text stays as it is; take form: away")
    if "word" in source and not ("column" in source and WORD.fullmatch(str(source["word"]))):
        raise ContractError(f"{where}: {name}: word: is the place of a word in a column:, such as 1")
    optional = as_names(where, f"{name}: optional", source.get("optional", []))
    if not set(optional) <= {*source.get("add", ()), *source.get("subtract", ())}:
        raise ContractError(f"{where}: {name}: optional: names columns of add: or subtract: beside it")
    as_text(where, f"{name}: constant", source.get("constant"))
    formats = source.get("format", [])
    column = source.get("column", [])
    return Field(
        column=(column,) if isinstance(column, str) and column else as_names(where, f"{name}: column", column),
        join=as_names(where, f"{name}: join", source.get("join", [])),
        joint=as_text(where, f"{name}: with", source.get("with", " ")),
        constant=source.get("constant"),
        from_record=origin == "record_number" and "from" in source,
        within=as_text(where, f"{name}: within", source.get("within")),
        add=as_names(where, f"{name}: add", source.get("add", [])),
        subtract=as_names(where, f"{name}: subtract", source.get("subtract", [])),
        values={
            word: as_text(where, f"{name}: values: {word}", meant)
            for word, meant in as_mapping(where, f"{name}: values", source.get("values", {})).items()
        },
        formats=(formats,) if isinstance(formats, str) else as_names(where, f"{name}: format", formats),
        fold=source.get("fold", "first"),
        plus_minutes=as_text(where, f"{name}: plus_minutes", source.get("plus_minutes")),
        divide_by=int(source.get("divide_by", 1)),
        form=source.get("form"),
        when=_words(where, f"{name}: when", source.get("when", {})),
        multiply=as_names(where, f"{name}: multiply", source.get("multiply", [])),
        word=int(source["word"]) if "word" in source else None,
        optional=optional,
    )


def as_text(where, path, given):
    """One text, or None where nothing is given."""
    if given is not None and not isinstance(given, str):
        raise ContractError(f"{where}: {path}: must be one text")
    return given


def as_mapping(where, path, given):
    """A dictionary."""
    if not isinstance(given, dict):
        raise ContractError(f"{where}: {path}: must hold `name: value` lines")
    return given


def as_names(where, path, given):
    """A list of texts, as a tuple."""
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        raise ContractError(f"{where}: {path}: must be a list, such as [first, second]")
    return tuple(given)


def _words(where, path, given):
    """Words by the column that may hold them."""
    return {name: as_names(where, f"{path}: {name}", words) for name, words in as_mapping(where, path, given).items()}


def as_flag(where, path, given):
    """true or false."""
    if given not in ("true", "false"):
        raise ContractError(f"{where}: {path}: {given}; write true or false")
    return given == "true"


def check_known(where, path, given, known):
    """Raises ContractError for an option that there is none of, with the nearest that there is."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(sorted(known))}"
            raise ContractError(f'{where}: {path}unknown "{name}"; {hint}')
