"""Audience files: what they compile to, and what is refused."""

import pytest
import yaml

from pipeline.tags.audiences import AUDIENCE_FOLDER, AudienceError, load_audiences
from pipeline.tags.build import build_tags
from pipeline.tags.catalogue import CATALOGUE_FOLDER, load_catalogue
from tests.tags.small_warehouse import AS_OF, make_warehouse


def make_audience(**overrides):
    row = {
        "code": "mine",
        "name": {"en": "Mine", "zh": "我的"},
        "meaning": {"en": "Some", "zh": "一些"},
        "purpose": "marketing",
        "channel": "email",
        "where": "facts.order_count > 1",
        "reasons": [],
    }
    return row | overrides


def write_audience_file(folder, *audiences):
    folder.mkdir(exist_ok=True)
    (folder / "own.yaml").write_text(yaml.safe_dump({"audiences": list(audiences)}, allow_unicode=True), "utf-8")
    return folder


def test_shipped_audiences_run_on_any_warehouse():
    audiences = load_audiences(AUDIENCE_FOLDER)
    assert len(audiences) >= 6
    con = make_warehouse()
    build_tags(con, load_catalogue(CATALOGUE_FOLDER), AS_OF)
    for audience in audiences:
        assert con.execute(audience.query).fetchall() == []


def test_tag_conditions_hold_inside_any_logic(tmp_path):
    con = make_warehouse(
        {"customer_id": "new", "order_day_count": 1, "is_marketing_allowed": None},
        {"customer_id": "old", "recency_days": 300},
        {"customer_id": "other", "recency_days": 120},
    )
    build_tags(con, load_catalogue(CATALOGUE_FOLDER), AS_OF)
    where = "has_tag('lifecycle', 'new') or (has_tag('lifecycle') and not has_tag( 'lifecycle' , 'cooling' ))"
    (audience,) = load_audiences(write_audience_file(tmp_path / "own", make_audience(where=where)))
    assert sorted(con.execute(audience.query).fetchall()) == [("new", False, "consent"), ("old", True, None)]
    assert audience.tags_used == (("lifecycle", "new"), ("lifecycle", None), ("lifecycle", "cooling"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"channel": "pigeon"}, "channel: 'pigeon'"),
        ({"purpose": "service"}, "purpose: 'service'"),
        ({"where": "facts.order_count >"}, "where: is no SQL expression"),
        ({"where": "has_tag(lifecycle)"}, "has_tag other than"),
        ({"code": "../mine"}, "code: use small letters"),
        ({"colour": "red"}, "colour: unknown field"),
        ({"reasons": "lifecycle"}, "reasons: expected a list"),
    ],
)
def test_faulty_audience_is_refused_by_name(tmp_path, change, said):
    with pytest.raises(AudienceError) as caught:
        load_audiences(write_audience_file(tmp_path / "own", make_audience(**change)))
    assert str(caught.value).startswith("own.yaml, audience ") and said in str(caught.value)


def test_own_audience_replaces_the_shipped_one(tmp_path):
    own = write_audience_file(tmp_path / "own", make_audience(code="second_order"))
    audiences = {audience.code: audience for audience in load_audiences(AUDIENCE_FOLDER, own)}
    assert audiences["second_order"].name == "Mine"
