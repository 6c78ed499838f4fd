"""The shipped catalogue is complete, and a faulty tag file is refused with its file, tag, field and the mend."""

import copy

import pytest
import yaml

from pipeline.tags.catalogue import CATALOGUE_FOLDER, CATEGORIES, CatalogueError, load_catalogue

TAG = {
    "code": "keen",
    "name": {"en": "Keen", "zh": "热心"},
    "meaning": {"en": "Orders a lot", "zh": "下单多"},
    "kind": "rule",
    "rule_version": 1,
    "values": [{"code": "very", "name": {"en": "Very", "zh": "很"}, "when": "facts.order_count > 3"}],
}


def write_tags(folder, *tags, name="own.yaml", category="purchase", level="customer"):
    folder.mkdir(exist_ok=True)
    content = {"category": category, "level": level, "tags": list(tags)}
    (folder / name).write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
    return folder


def make_tag(**overrides):
    return copy.deepcopy(TAG) | overrides


def make_value(**overrides):
    return copy.deepcopy(TAG["values"][0]) | overrides


def test_shipped_catalogue_has_three_tags_and_more_in_each_category():
    catalogue = load_catalogue(CATALOGUE_FOLDER)
    for category in CATEGORIES:
        assert sum(tag.category == category for tag in catalogue.tags) >= 3, category
    assert len(catalogue.tags) >= 45
    assert {path.stem for path in CATALOGUE_FOLDER.glob("*.yaml")} == set(CATEGORIES)


def test_own_tag_is_added_and_own_code_replaces_the_shipped_tag(tmp_path):
    write_tags(tmp_path / "own", make_tag(), make_tag(code="lifecycle", name={"en": "Mine", "zh": "自定"}))
    shipped, both = load_catalogue(CATALOGUE_FOLDER), load_catalogue(CATALOGUE_FOLDER, tmp_path / "own")
    assert len(both.tags) == len(shipped.tags) + 1
    assert next(tag for tag in both.tags if tag.code == "lifecycle").name == "Mine"


def test_absent_own_folder_is_no_error(tmp_path):
    assert load_catalogue(CATALOGUE_FOLDER, tmp_path / "nowhere") == load_catalogue(CATALOGUE_FOLDER)


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        (make_tag(kind="guess"), "kind: 'guess'"),
        (make_tag(code="Keen Ones"), "code: 'Keen Ones'"),
        (make_tag(name={"en": "Keen"}), "name: expected"),
        (make_tag(colour="red"), "colour: unknown field"),
        (make_tag(values=[]), "values: none"),
        (make_tag(values=[make_value(when="facts.order_count >")]), "is no SQL expression"),
        (make_tag(values=[make_value(when="1 = 1); drop table x; select (1")]), "value very, when:"),
        (make_tag(values=[make_value(when="order_count > 3")]), "names no column"),
        (make_tag(values=[make_value(when="facts.last_order_on > current_date - 3")]), "current_date"),
        (make_tag(values=[make_value(), make_value()]), "very stands twice"),
        (make_tag(value_from=["facts.city", "facts.province"], values=[]), "value_from: a single-valued tag"),
        (make_tag(value_from="facts.city"), "with value_from a value has only"),
        (make_tag(rule_version=None), "rule_version: missing"),
        (make_tag(multi_valued="often"), "multi_valued"),
        (
            make_tag(values=[make_value(when="company.order_count > 3")]),
            "names company, which the level customer does not",
        ),
    ],
)
def test_faulty_tag_is_refused_by_name(tmp_path, tag, said):
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(write_tags(tmp_path / "own", tag))
    assert str(caught.value).startswith(f"own.yaml, tag {tag['code']}, ")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        (make_tag(), "names facts, which the level company does not have; write company.x"),
        (
            make_tag(values=[make_value(when="1 = 1")]),
            "names no column of the joined row; write it with a prefix: company.x",
        ),
        (
            make_tag(kind="model", values=[make_value(when="company.order_count > 3")]),
            "kind: model tags need a person's",
        ),
    ],
)
def test_a_tag_of_companies_reads_companies_alone(tmp_path, tag, said):
    folder = write_tags(tmp_path / "own", tag, level="company")
    with pytest.raises(CatalogueError, match=said):
        load_catalogue(folder)


def test_faulty_files_are_refused_by_name(tmp_path):
    with pytest.raises(CatalogueError, match="own.yaml, category: 'mood'"):
        load_catalogue(write_tags(tmp_path / "a", make_tag(), category="mood"))
    with pytest.raises(CatalogueError, match="own.yaml, level: 'household'"):
        load_catalogue(write_tags(tmp_path / "d", make_tag(), level="household"))
    folder = write_tags(tmp_path / "b", make_tag(), name="one.yaml")
    with pytest.raises(CatalogueError, match="two.yaml, tag keen, code: already in one.yaml"):
        load_catalogue(write_tags(folder, make_tag(), name="two.yaml"))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "bad.yaml").write_text("category: [", "utf-8")
    with pytest.raises(CatalogueError, match="bad.yaml line .*no readable YAML"):
        load_catalogue(tmp_path / "c")
    (tmp_path / "c" / "bad.yaml").write_text("category: !!python/object/apply:os.getcwd []", "utf-8")
    with pytest.raises(CatalogueError, match="no readable YAML"):
        load_catalogue(tmp_path / "c")
    with pytest.raises(CatalogueError, match="no tag found"):
        load_catalogue(tmp_path / "nowhere")
