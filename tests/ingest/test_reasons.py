"""Why a file did not land, as a Chinese summary says it."""

import pytest

from pipeline.ingest.reasons import in_chinese
from tests.builders import Intake, customer_file, make_customer_line


@pytest.fixture
def intake(tmp_path):
    intake = Intake(tmp_path)
    yield intake
    intake.con.close()


def said(intake, name, content):
    return in_chinese(intake.take(name, content).message)


def test_the_reasons_that_files_wait_for_are_chinese(intake):
    assert said(intake, "a.csv", "town,rain\nX,1\n") == (
        "没有版式与表头相符（按 utf-8 读取，分隔符 ','，表头在第 1 行）；请在 data/sources 中写一个版式（见 README）"
    )
    assert said(intake, "b.csv", "Id,Stage,Close Date,Created Date\n1,a,2026-01-01,2026-01-01\n") == (
        "没有版式与表头相符（按 utf-8 读取，分隔符 ','，表头在第 1 行）；最接近的 salesforce_opportunity 还需要以下列之一："
        "Fiscal Period, Opportunity ID, Opportunity Owner, StageName"
    )
    assert said(intake, "c.csv", b"") == "文件为空；请重新导出"
    assert said(intake, "d.csv", customer_file(make_customer_line(会员号=""))) == (
        "customers：1 行中拒收 1 行，超过 max_rejected_share 0.1，最多的原因：source_customer_id missing；"
        "原因见 vault/rejected/customers"
    )
    assert said(intake, "e.gz", b"\x1f\x8b\x08\x00rubbish").startswith("不是完整的 gzip 文件（")


def test_what_is_not_known_stays_as_it_is():
    assert in_chinese("something new; export it again") == "something new；请重新导出"
