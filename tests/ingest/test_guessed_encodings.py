"""What happens to a file whose encoding nothing tells: a likely guess is said aloud, a doubtful one is not taken."""

import pytest

from tests.builders import Intake

HEADER = (
    "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Total Spent,Total Orders,Default Address City\n"
)
EUC_JP = """\
layout: shopify_customers
extends: shopify_customers
read: {encoding: euc_jp}
"""


@pytest.fixture
def intake(tmp_path):
    intake = Intake(tmp_path)
    yield intake
    intake.con.close()


def customers(*rows):
    """An export with no letter beyond ASCII in its header, which therefore tells nothing."""
    lines = (f"{n},{given},{surname},a{n}@b.c,no,0,0,{city}\n" for n, (surname, given, city) in enumerate(rows))
    return HEADER + "".join(lines)


def names(intake, outcome):
    (landing,) = outcome.landings
    return [(row["surname"], row["given_name"], row["city"]) for row in intake.landed(landing)]


def test_a_guess_is_right_and_a_warning_in_both_languages(intake):
    rows = [("Lefèvre", "Zoë", "Orléans")]
    outcome = intake.take("export.csv", customers(*rows).encode("cp1252"))
    assert names(intake, outcome) == rows
    ((english, chinese),) = outcome.warnings
    assert english.startswith("its encoding is a guess: cp1252 (")
    assert english.endswith("state read.encoding in shopify_customers.yaml if that is wrong")
    assert chinese == "编码是推测的：cp1252；如有误，请在 shopify_customers.yaml 中写明 read.encoding"


def test_what_two_encodings_read_about_as_well_waits_until_a_layout_says_which(intake):
    rows = [("佐藤", "健", "札幌"), ("鈴木", "花子", "福岡")]
    content = customers(*rows).encode("euc_jp")
    outcome = intake.take("export.csv", content)
    assert outcome.status == "unreadable"
    assert outcome.message == (
        "its encoding cannot be told: gb18030 reads it about as well as euc_jp;"
        " state read.encoding in shopify_customers.yaml in data/sources (extends: shopify_customers)"
    )
    assert (intake.inbox / "export.csv").exists()

    intake.write_layout(EUC_JP)
    outcome = intake.night()["export.csv"]
    assert (names(intake, outcome), outcome.warnings) == (rows, ())


def test_common_words_tell_the_japanese_of_unix_from_chinese(intake):
    rows = [("佐藤", "花子", "東京"), ("鈴木", "太郎", "大阪")]
    outcome = intake.take("export.csv", customers(*rows).encode("euc_jp"))
    assert (names(intake, outcome), outcome.warnings) == (rows, ())


def test_few_chinese_names_are_no_doubt(intake):
    rows = [("王", "伟", "杭州"), ("李", "秀英", "成都")]
    outcome = intake.take("export.csv", customers(*rows).encode("gbk"))
    assert names(intake, outcome) == rows
    assert len(outcome.warnings) == 1
