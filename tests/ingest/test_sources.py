"""Layouts: what their YAML may say, and how a file is recognised by them."""

import pytest

from pipeline.ingest.contracts import ContractError
from pipeline.ingest.recognition import nearest_layout, recognise
from pipeline.ingest.sources import load_layouts, read_layout
from tests.builders import make_layout, make_order_layout, write_layout


def order_columns(**overrides):
    """entities of my_orders with some columns changed; None takes one out."""
    columns = make_order_layout()["entities"]["orders"]["columns"] | overrides
    return {"orders": {"columns": {name: field for name, field in columns.items() if field is not None}}}


def test_a_valid_layout(tmp_path):
    layout = make_layout(tmp_path, make_order_layout())
    assert (layout.name, layout.source, layout.delivery, layout.header) == ("my_orders", "shop", "delta", True)
    assert layout.entities["orders"].columns["net"].column == ("实付",)


def test_every_word_of_a_layout_is_text_as_it_stands(tmp_path):
    layout = make_layout(
        tmp_path,
        """\
        layout: my_consents
        source: 01
        match: {columns: [2024, 客户]}
        personal_ids: true
        entities:
          consents:
            fold: false
            columns:
              source_customer_id: 客户
              purpose: {constant: marketing}
              channel: {constant: any}
              status: {column: 2024, values: {Yes: granted, No: refused, on: granted, 01: refused, 1.0: granted, ~: refused}}
        """,
    )
    assert layout.source == "01"
    assert layout.personal_ids is True
    assert layout.match_columns == {"2024", "客户"}
    words = layout.entities["consents"].columns["status"].values
    assert words == {
        "Yes": "granted",
        "No": "refused",
        "on": "granted",
        "01": "refused",
        "1.0": "granted",
        "~": "refused",
    }


def test_a_key_that_is_not_mapped_is_the_place_in_the_file(tmp_path):
    layout = make_layout(tmp_path, make_order_layout(entities=order_columns(order_id=None)))
    assert layout.entities["orders"].columns["order_id"].from_record


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"sauce": "shop"}, 'my_orders.yaml: unknown "sauce"; did you mean "source"?'),
        ({"read": {"delimitr": ";"}}, 'my_orders.yaml: read: unknown "delimitr"; did you mean "delimiter"?'),
        ({"match": {"colums": ["a"]}}, 'my_orders.yaml: match: unknown "colums"; did you mean "columns"?'),
        ({"match": {}}, "my_orders.yaml: match needs `columns:`"),
        ({"match": ["a"]}, "my_orders.yaml: match: must hold `name: value` lines"),
        ({"match": {"columns": "订单号"}}, "my_orders.yaml: match: columns: must be a list"),
        ({"entities": {}}, "my_orders.yaml: `entities:` is empty"),
        ({"entities": ["orders"]}, "my_orders.yaml: entities: must hold"),
        ({"entities": {"orderz": {}}}, 'my_orders.yaml: entities: unknown entity "orderz"; one of campaigns, '),
        ({"entities": {"orders": {}}}, "my_orders.yaml: orders: columns: must hold"),
        (
            {"entities": order_columns(nett="实付")},
            'my_orders.yaml: orders: the contract has no column "nett"; did you mean "net"?',
        ),
        (
            {"entities": order_columns(ordered_at=None)},
            "my_orders.yaml: orders: required column ordered_at is not mapped",
        ),
        ({"entities": order_columns(net="")}, "my_orders.yaml: orders.net: write a column's name, or"),
        ({"entities": order_columns(net={"col": "a"})}, 'my_orders.yaml: orders.net: unknown "col"'),
        (
            {"entities": order_columns(net={"format": "%Y"})},
            "my_orders.yaml: orders.net: needs one of column:, join:, constant:",
        ),
        ({"entities": order_columns(net={"column": "a", "constant": "1"})}, "orders.net: needs one of"),
        ({"entities": order_columns(net={"add": "实付"})}, "my_orders.yaml: orders.net: add: must be a list"),
        ({"entities": order_columns(net={"column": "a", "values": ["x"]})}, "orders.net: values: must hold"),
        ({"entities": order_columns(net={"from": "line"})}, "orders.net: from: can be record_number"),
        ({"entities": order_columns(net={"column": "a", "fold": "max"})}, "orders.net: fold: can be first or sum"),
        ({"entities": order_columns() | {"customers": {"columns": {"name": "a"}}}}, None),
        ({"entities": order_columns(net={"column": "a", "values": {"x": ["y"]}})}, "net: values: x: must be one text"),
        ({"source": ["shop"]}, "my_orders.yaml: source: must be one text"),
        ({"timezone": {"Asia": "Shanghai"}}, "my_orders.yaml: timezone: must be one text"),
        ({"match": {"columns": ["a"], "file": ["b"]}}, "my_orders.yaml: match: file: must be one text"),
        ({"read": {"encoding": ["gbk"]}}, "my_orders.yaml: read: encoding: must be one text"),
        ({"delivery": "daily"}, 'my_orders.yaml: delivery "daily"; write full, delta or append'),
        ({"timezone": "Beijing"}, 'my_orders.yaml: timezone "Beijing" is no IANA time zone'),
        ({"read": {"encoding": "gbk2"}}, 'my_orders.yaml: read.encoding "gbk2" is unknown'),
        ({"read": {"delimiter": "||"}}, 'my_orders.yaml: read.delimiter "||"; write one character'),
        ({"read": {"delimiter": "whitespace"}}, "my_orders.yaml: read.delimiter whitespace is for a headerless file"),
        ({"read": {"quote": "''"}}, "my_orders.yaml: read.quote"),
        (
            {"read": {"escape": "/"}},
            'my_orders.yaml: read.escape "/"; write \\ where a backslash stands before a quote',
        ),
        ({"read": {"quote": "", "escape": "\\"}}, "my_orders.yaml: read.escape"),
        ({"read": {"header": "no"}}, "my_orders.yaml: read: header: no; write true or false"),
        ({"read": {"header": False}}, "my_orders.yaml: a headerless file (header: false) needs match.file"),
        ({"read": {"column_names": ["a"]}}, "my_orders.yaml: read.column_names is for a headerless file"),
        ({"personal_ids": "maybe"}, "my_orders.yaml: personal_ids: maybe; write true or false"),
    ],
)
def test_errors_name_the_file_the_field_and_the_mend(tmp_path, overrides, message):
    if message is None:
        make_layout(tmp_path, make_order_layout(**overrides))
        return
    with pytest.raises(ContractError) as error:
        make_layout(tmp_path, make_order_layout(**overrides))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "other.yaml: must begin with `layout: other`"),
        ("layout: other", "other.yaml: `source:` is missing"),
        (
            "layout: my_orders\nsource: s\nmatch: {}\nentities: {}",
            'other.yaml: layout is "my_orders"; it must be named as the file',
        ),
        ("a: [", "not readable as YAML"),
        ("!!python/object/apply:os.system ['true']", "other.yaml: must begin with"),
    ],
)
def test_a_file_that_is_no_layout(tmp_path, text, message):
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(ContractError) as error:
        load_layouts(tmp_path)
    assert message in str(error.value)


def test_a_layout_that_is_not_utf_8(tmp_path):
    (tmp_path / "other.yaml").write_bytes("meaning: 订单".encode("gbk"))
    with pytest.raises(ContractError, match="other.yaml: not UTF-8 .*; save it as UTF-8"):
        load_layouts(tmp_path)


def test_the_users_layout_stands_instead_of_ours_of_the_same_name(tmp_path):
    ours = load_layouts()["demo_crm_contacts"]
    write_layout(tmp_path, make_order_layout(layout="demo_crm_contacts"))
    layouts = load_layouts(tmp_path)
    assert layouts["demo_crm_contacts"].match_columns == {"订单号", "下单时间"}
    assert layouts["demo_crm_contacts"].fingerprint != ours.fingerprint
    assert layouts.keys() == load_layouts().keys()


def test_the_layout_with_most_of_the_columns_wins(tmp_path):
    few = make_layout(tmp_path, make_order_layout())
    many = make_layout(tmp_path, make_order_layout(layout="more", match={"columns": ["订单号", "下单时间", "实付"]}))
    layouts = {layout.name: layout for layout in (few, many)}
    assert recognise("any.csv", ["下单时间", "订单号", "实付", "x"], layouts) is many
    assert recognise("any.csv", ["下单时间", "订单号"], layouts) is few
    assert recognise("any.csv", ["订单号"], layouts) is None
    assert nearest_layout(["订单号"], layouts) == ("my_orders", ["下单时间"])
    assert nearest_layout(["x"], layouts) is None


def test_a_headerless_file_is_known_by_name_and_shape(tmp_path):
    layout = make_layout(
        tmp_path,
        make_order_layout(
            match={"file": "LOG*.txt"},
            read={"header": "false", "column_names": ["订单号", "下单时间", "实付"], "delimiter": ","},
        ),
    )
    layouts = {layout.name: layout}
    assert recognise("log_2026.TXT", ["1", "2", "3"], layouts) is layout
    assert recognise("log_2026.txt.gz", ["1", "2", "3"], layouts) is layout
    assert recognise("log_2026.txt", ["1", "2"], layouts) is None
    assert recognise("2026.txt", ["1", "2", "3"], layouts) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("layout: deep\nsource: " + "[" * 5000 + "]" * 5000, "deep.yaml: nested too deeply"),
        ("layout: deep\n#" + " " * (1 << 20), "deep.yaml: more than 1 MiB"),
    ],
)
def test_a_layout_without_bounds_is_refused(tmp_path, content, message):
    path = tmp_path / "deep.yaml"
    path.write_text(content)
    with pytest.raises(ContractError, match=f"^{message}"):
        read_layout(path)
