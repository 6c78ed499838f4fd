"""Words of an export and what they mean: as written, in any case, by their beginning; and what is said of all others."""

import pytest

from tests.builders import Intake

DEALS = "Record Id,Deal Name,Stage,Amount,Closing Date,Created Time\n"
STAGES = """\
layout: zoho_deals
extends: zoho_deals
entities:
  opportunities:
    columns:
      status: {{column: Stage, values: {{{word}: open}}}}
"""


@pytest.fixture
def intake(tmp_path):
    intake = Intake(tmp_path)
    yield intake
    intake.con.close()


def deals(*stages):
    return DEALS + "".join(f"d{n},x,{stage},1,2026-05-01,2026-03-01 10:00:00\n" for n, stage in enumerate(stages))


def landed(intake, content, name="export.csv"):
    (landing,) = intake.take(name, content).landings
    return landing, intake.landed(landing)


def test_a_word_is_reported_as_it_is_written_and_then_mended_in_any_case(intake):
    landing, rows = landed(intake, deals("Paperwork", "Paperwork", "CLOSED WON", "closed lost"))
    assert [row["status"] for row in rows] == [None, None, "won", "lost"]
    reported = [(word["column_name"], word["word"], word["row_count"]) for word in landing.words]
    assert reported == [("stage", "Paperwork", 2), ("status", "Paperwork", 2)]

    for word in ("Paperwork", "paperwork", "Paper*", "PAPER*"):
        intake.write_layout(STAGES.format(word=word))
        (landing,) = intake.night()["again: export.csv"].landings
        assert [row["status"] for row in intake.landed(landing)] == ["open", "open", "won", "lost"]
        assert {one["column_name"] for one in landing.words} == {"stage"}


def test_a_word_as_written_goes_before_another_case_and_two_meanings_are_none(intake):
    intake.write_layout(STAGES.format(word="'Trial': won, 'TRIAL': lost, 'Test'"))
    _, rows = landed(intake, deals("Trial", "TRIAL", "trial", "test"))
    assert [row["status"] for row in rows] == ["won", "lost", None, "open"]


def test_full_width_and_half_width_are_one_word(intake):
    intake.write_layout(STAGES.format(word="'（A）一': won, '(B)二'"))
    _, rows = landed(intake, deals("（A）一", "(a)一", "（B）二", "Ｗｏｎ"))
    assert [row["status"] for row in rows] == ["won", "won", "open", "won"]


def test_what_a_layout_says_of_a_word_goes_before_what_the_contract_does(intake):
    intake.write_layout(STAGES.format(word="'Lost': invalid, 'won*'"))
    _, rows = landed(intake, deals("lost", "won", "Won at last", "Open"))
    assert [row["status"] for row in rows] == ["invalid", "open", "open", "open"]


def test_booleans_as_a_spreadsheet_saves_them_tell_the_status_of_an_opportunity(intake):
    lines = ("FALSE,TRUE,TRUE", "False,True,False", "FALSE,FALSE,FALSE", "TRUE,FALSE,FALSE")
    content = "Id,CreatedDate,StageName,CloseDate,AccountId,IsDeleted,IsClosed,IsWon\n" + "".join(
        f"o{n},2026-01-01,X,2026-02-01,a,{line}\n" for n, line in enumerate(lines)
    )
    _, rows = landed(intake, content)
    assert [row["status"] for row in rows] == ["won", "lost", "open", "invalid"]
    assert [row["closed_at"] is not None for row in rows] == [True, True, False, False]


def test_a_stage_that_names_its_pipeline_dates_the_close(intake):
    stages = ("Closed Won (Enterprise Pipeline)", "closed lost", "closedwon", "Contract sent (Enterprise Pipeline)")
    content = "Record ID,Deal Name,Deal Stage,Amount,Close Date\n" + "".join(
        f"{n},x,{stage},5,2026-05-01 10:00\n" for n, stage in enumerate(stages)
    )
    _, rows = landed(intake, content)
    assert [row["status"] for row in rows] == ["won", "lost", "won", "open"]
    assert [row["closed_at"] is not None for row in rows] == [True, True, True, False]


def test_a_map_that_only_empties_words_reports_none(intake):
    content = "Record Id,Account Owner,Account Name,Industry,Created Time,Modified Time\n" + "".join(
        f"{n},o,A,{industry},2026-01-01 00:00:00,2026-01-01 00:00:00\n"
        for n, industry in enumerate(["Retail", "-None-"])
    )
    landing, rows = landed(intake, content)
    assert [row["industry"] for row in rows] == ["Retail", None]
    assert landing.words == ()
