"""Model files are read as they were written or refused; nights between trainings score with them."""

import hashlib
import json
from dataclasses import fields, replace
from datetime import date, timedelta
from types import SimpleNamespace

import duckdb
import polars as pl
import pytest

from pipeline import ops
from pipeline.models.cards import WORDS, card_text, newest_figures, read_card_words
from pipeline.models.records import MODEL_RUN_SCHEMA, NotAModel, make_backtests, make_model_run, no_backtests
from pipeline.settings import Settings, SettingsError, read_settings
from pipeline.steps import model_files, training_nights
from pipeline.steps.model_files import ModelFileError, prune_models, read_model, write_model
from pipeline.steps.training_nights import NOT_OF_MODELS, decide_training, run_model, write_trainings

FIRST = date(2026, 3, 1)
SCHEMA = {"customer_id": pl.String, "score": pl.Float64}
CONTENT = {
    "format": 1,
    "model": "churn",
    "trained_on": "2026-03-01",
    "status": "used",
    "message": "fine",
    "row_count": 3,
    "params": {"weights": [0.1, 1 / 3, -1e-300], "names": ["a", "市"]},
    "metrics": {"features": ["a", "b"]},
    "backtests": [],
    "training": {"settings": {"seed": 1}},
}


# files


def put(folder, text, model="churn"):
    """A file that bears the name of its content, whatever that is. Returns its version."""
    version = f"{model}-{hashlib.sha256(text).hexdigest()[:16]}"
    (folder / f"{version}.json").write_bytes(text)
    return version


def test_what_was_written_is_read(tmp_path):
    version = write_model(tmp_path, CONTENT)
    assert read_model(tmp_path, version) == CONTENT
    assert write_model(tmp_path, json.loads(json.dumps(CONTENT))) == version
    assert write_model(tmp_path, CONTENT | {"row_count": 4}) != version
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".json", ".md", ".md"]


def test_a_file_that_was_changed_or_cut_is_refused(tmp_path):
    version = write_model(tmp_path, CONTENT)
    path = tmp_path / f"{version}.json"
    whole = path.read_bytes()
    for text in (whole.replace(b"0.1", b"0.2"), whole[:-1], whole[: len(whole) // 2], b"", whole + b"\n"):
        path.write_bytes(text)
        with pytest.raises(
            ModelFileError, match=f"models/{version}.json: .*delete it, and the next night trains again"
        ):
            read_model(tmp_path, version)
    path.unlink()
    with pytest.raises(ModelFileError, match="No such file"):
        read_model(tmp_path, version)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "not of format 1"),
        ({"format": None}, "not of format 1"),
        ({"model": "clv"}, "it is a model of clv"),
        ({"params": []}, "it lacks params"),
        ({"metrics": None, "backtests": {}}, "it lacks metrics, backtests"),
    ],
)
def test_another_shape_is_refused(tmp_path, change, message):
    version = put(tmp_path, json.dumps(CONTENT | change).encode())
    with pytest.raises(ModelFileError, match=message):
        read_model(tmp_path, version)


@pytest.mark.parametrize(
    "text",
    [
        b'{"params": NaN}',
        b'{"params": -Infinity}',
        b'{"params": 1e999}',
        b"[" * 100_000,
        b"\x80\x04\x95",
        b"\xff\xfe",
        b"9" * 5000,
        b'{"format": 1',
    ],
)
def test_no_json_of_plain_numbers_is_refused(tmp_path, text):
    with pytest.raises(ModelFileError, match="no JSON of plain numbers"):
        read_model(tmp_path, put(tmp_path, text))


def test_a_list_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="not of format 1"):
        read_model(tmp_path, put(tmp_path, b"[1]"))


def test_a_huge_file_is_refused_before_it_is_read(tmp_path, monkeypatch):
    version = put(tmp_path, json.dumps(CONTENT).encode())
    path = tmp_path / f"{version}.json"
    with path.open("r+b") as file:
        # takes no room on the disk, but would in memory
        file.truncate(model_files.MAX_BYTES + 1)
    with pytest.raises(ModelFileError, match="67,108,865 bytes are more than 67,108,864"):
        read_model(tmp_path, version)
    monkeypatch.setattr(model_files, "MAX_BYTES", 100)
    with pytest.raises(ModelFileError, match="fit a smaller model"):
        write_model(tmp_path, CONTENT)


@pytest.mark.parametrize("version", ["../churn-0123456789abcdef", "churn", "churn-0123", "churn-0123456789abcdeg"])
def test_no_other_file_is_opened(tmp_path, version):
    with pytest.raises(ModelFileError, match="no version of a model"):
        read_model(tmp_path / "models", version)


# cards


def test_a_card_says_all_in_both_languages():
    row = ("auc", 0.8, "base rate", 0.5, 1234, "boosting", 0.75, 0.85, 0.2, 0.4)
    other, decile = ("auc", 0.7, "base rate", 0.5, 99, "logistic"), ("calibration_decile_01", 0.1, "actual", 0.1, 10)
    rows = make_backtests(FIRST, "churn", FIRST, 90, [row, other, decile])
    earlier = make_backtests(FIRST, "churn", date(2025, 6, 1), 90, [("auc", 0.6, "base rate", 0.5, 88, "boosting")])
    year = make_backtests(FIRST, "churn", date(2025, 2, 1), 365, [("auc", 0.65, "base rate", 0.5, 77, "boosting")])
    figures = newest_figures(pl.concat([earlier, rows, year]))
    assert [(one["cut_off"], one["row_count"]) for one in figures] == [
        ("2026-03-01", 1234),
        ("2026-03-01", 99),
        ("2025-02-01", 77),
    ]
    training = {
        "cut_offs": ["2025-01-01", "2025-04-01"],
        "order_count": 9876,
        "settings": {"seed": 4711},
        "code": "c0de",
    }
    training |= {"pipeline": "0.4.0", "python": "3.11", "libraries": {"numpy": "2"}}
    content = CONTENT | {"backtests": figures, "training": training}
    content["metrics"] = {
        "features": ["recency_days"],
        "champion": "boosting",
        "row_counts": {"training": 5000, "test": 300},
    }
    chinese, english = card_text("churn-0123456789abcdef", content).split("\n\n---\n\n")
    row = "| 2026-03-01 | 90 | AUC ({}) | 0.8 | 0.75 .. 0.85 | {} | 0.5 | 1,234 |"
    assert row.format("gradient boosting", "same chance for everyone") in english
    assert row.format("梯度提升", "对所有人同一概率") in chinese
    for text in (chinese, english):
        assert "| 2025-02-01 | 365 | AUC (" in text
        assert "decile_" not in text and "logistic" not in text
        for word in (
            "churn-0123456789abcdef",
            "2026-03-01",
            "2025-01-01",
            "2025-04-01",
            "9,876",
            "4711",
            "c0de",
            "0.4.0",
        ):
            assert word in text, word
        assert "`recency_days`" in text
    assert "training 5,000, test 300" in english and "训练 5,000, 测试 300" in chinese
    # nothing was calibrated here: the figures are the model's own
    assert "sibling" not in english and "同类模型" not in chinese
    assert "不适用" in chinese and "not for" in english.lower()
    assert "What it" not in chinese and not any("\u4e00" <= sign <= "\u9fff" for sign in english)


def test_a_card_says_whose_figures_they_are():
    rows = make_backtests(FIRST, "churn", FIRST, 90, [("auc", 0.8, "base rate", 0.5, 377)])
    counts = {"training": 5000, "calibration": 377, "test": 377}
    content = CONTENT | {"backtests": newest_figures(rows), "metrics": {"row_counts": counts}}
    chinese, english = card_text("churn-0123456789abcdef", content).split("\n\n---\n\n")
    assert "sibling, fitted in the same way one cut-off earlier" in english
    assert "早一个截点训练的同类模型" in chinese


def test_a_card_says_its_message_and_figures_in_its_language():
    rows = [("orders_rmse", 1.7, "own rate", 2.5, 99), ("lift_10", 2.5, "recency only", 2.0, 99)]
    rows += [("spend_interval_below", 0.1, "nominal", 0.1, 99), ("orders_pooled_squared_error", 3.0, "mean", 6.4, 99)]
    figures = newest_figures(make_backtests(FIRST, "churn", FIRST, 90, rows))
    message = "at the newest cut-off the ranking is reversed or gone (slope 0.00)"
    content = CONTENT | {"status": "held", "message": message, "backtests": figures}
    chinese, english = card_text("churn-0123456789abcdef", content).split("\n\n---\n\n")
    assert f"held ({message})" in english and "暂不使用（最近截点上排序颠倒或失效（斜率 0.00））" in chinese
    for words in (
        "订单数：均方根误差",
        "沿用个人以往频率",
        "前10%提升度",
        "仅凭距上次购买天数",
        "消费额：低于80%区间的占比",
    ):
        assert words in chinese, words
    for words in ("orders: RMSE", "own past rate goes on", "lift at 10 %", "days since the last order alone"):
        assert words in english, words
    figures_zh = chinese[chinese.index("| 截点") :].split("\n\n")[0]
    assert not any(name in figures_zh for name in ("rmse", "rate", "only", "mean", "nominal"))


def test_every_text_of_cards_is_in_both_languages():
    texts = [text for words in read_card_words().values() for text in words.values()]
    texts += [{"en": en, "zh": zh} for en, zh in WORDS.values() if not en.startswith("|")]
    for text in texts:
        assert any("\u4e00" <= sign <= "\u9fff" for sign in text["zh"]), text
        assert text["en"] and not any("\u4e00" <= sign <= "\u9fff" for sign in text["en"]), text


# nights


class Nights:
    """A shop of nothing but one model, whose parameter is the night it was trained on."""

    def __init__(self, data_dir):
        self.settings, self.orders, self.entities = Settings(data_dir), 1000, ["orders"]
        self.status, self.learnt = "used", None

    def night(self, day, is_every_night=False):
        con, published = duckdb.connect(), sorted(self.settings.snapshots.glob("*.duckdb"))
        earlier = [path for path in published if path.stem < str(day)]
        previous = (earlier or published)[-1 if earlier else 0] if published else None
        if previous:
            con.execute(f"attach '{previous}' as previous (read_only)")
        con.execute("create schema core")
        con.execute("create schema ops")
        con.execute(f"create table core.orders as select date '2020-01-01' as ordered_on from range({self.orders})")
        con.execute(f"create table ops.night as select date '{day}' as as_of")
        landings = [{"entity": entity} for entity in self.entities]
        scratch = self.settings.vault / "scratch" / str(day)
        warnings = []
        night = SimpleNamespace(
            con=con,
            settings=self.settings,
            as_of=day,
            orders_until=day,
            landings=landings,
            previous="previous" if previous else None,
            scratch=scratch,
            cut_offs=[],
            warn=lambda en, zh: warnings.append(en),
        )
        decide_training(night, lambda name, rows: None)
        scores, run, _ = run_model(night, "churn", SCHEMA, lambda kept: self.model(kept, day), is_every_night)
        runs = pl.DataFrame([run], MODEL_RUN_SCHEMA)
        ops.append_history(con, "model_runs", runs, day, night.previous)
        write_trainings(night)
        self.publish(con, night, day)
        return SimpleNamespace(
            run=run, score=scores["score"].to_list(), reason=night.training["reason"], warnings=warnings, night=night
        )

    def model(self, kept, day):
        if kept == {"trained": "bad"}:
            raise NotAModel("it lacks 'trees'")
        trained = kept["trained"] if kept else str(self.learnt or day)
        scores = pl.DataFrame({"customer_id": ["c"], "score": [float(date.fromisoformat(trained).toordinal())]}, SCHEMA)
        if self.status != "used":
            scores = scores.clear()
        params = {} if self.status == "not enough data" else {"trained": trained}
        run = make_model_run(
            day,
            "churn",
            "used" if kept else self.status,
            "" if kept else "said then",
            len(scores),
            params,
            {"night": day.day},
        )
        return scores, run, no_backtests()

    def publish(self, con, night, day):
        self.settings.models.mkdir(parents=True, exist_ok=True)
        for path in (night.scratch / "models").glob("*"):
            path.rename(self.settings.models / path.name)
        self.settings.snapshots.mkdir(parents=True, exist_ok=True)
        snapshot = self.settings.snapshots / f"{day}.duckdb"
        snapshot.unlink(missing_ok=True)
        if night.previous:
            con.execute("detach previous")
        con.execute(f"attach '{snapshot}' as snapshot")
        con.execute("create schema snapshot.ops")
        for table in ("night", "model_runs", "trainings"):
            con.execute(f"create table snapshot.ops.{table} as from ops.{table}")
        con.close()


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path / "data")


def day(number):
    return FIRST + timedelta(days=number)


def test_a_week_scores_with_what_it_learnt_on_its_first_night(nights):
    done = [nights.night(day(number)) for number in range(9)]
    trained = [one.run["is_trained_tonight"] for one in done]
    assert trained == [True, *[False] * 6, True, False]
    assert [one.run["trained_on"] for one in done] == [day(0)] * 7 + [day(7)] * 2
    assert [one.score for one in done] == [[float(one.run["trained_on"].toordinal())] for one in done]
    assert len({one.run["version"] for one in done}) == 2
    assert [one.reason for one in done][:8:7] == ["no training before", "the last training was 7 days ago"]
    # of a night that only scores, the words and figures of the training stand, but for what is of tonight
    second = done[1].run
    assert second["message"] == "said then" and json.loads(second["metrics"]) == {"night": 2}
    assert second["model_file"] == f"models/{second['version']}.json"
    assert second["params"] == done[0].run["params"] and second["as_of"] == day(1)


def test_a_night_run_again_decides_as_it_did(nights):
    first = [nights.night(day(number)).run for number in range(8)]
    assert [nights.night(day(number)).run for number in (7, 3, 0)] == [first[7], first[3], first[0]]


def test_every_night_trains_where_it_is_set(nights):
    nights.settings = replace(nights.settings, train_every_days=1)
    assert [nights.night(day(number)).run["is_trained_tonight"] for number in range(3)] == [True] * 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"settings": {"seed": 5}}, "a setting changed"),
        ({"settings": {"churn_horizon_days": 60}}, "a setting changed"),
        ({"entities": ["orders", "tickets"]}, "what is delivered changed"),
        ({"orders": 1300}, "1,300 orders are known, 1,000 were"),
        ({"orders": 700}, "700 orders are known, 1,000 were"),
        ({"settings": {"language": "en", "threads": 2, "train_every_days": 6}}, None),
        ({"orders": 1200}, None),
    ],
)
def test_a_change_of_what_models_depend_on_trains(nights, change, reason):
    nights.night(day(0))
    for name, value in change.items():
        setattr(nights, name, replace(nights.settings, **value) if name == "settings" else value)
    done = nights.night(day(1))
    assert done.run["is_trained_tonight"] == (reason is not None)
    assert (reason or "within ") in done.reason
    # what counts is the training, not the night before
    assert not nights.night(day(2)).run["is_trained_tonight"]


def test_other_code_trains(nights, monkeypatch):
    nights.night(day(0))
    monkeypatch.setattr(training_nights, "code_digest", lambda: "another")
    assert nights.night(day(1)).reason == "the code of the models changed since the last training"


def test_a_file_that_is_gone_trains_and_says_so(nights):
    first = nights.night(day(0)).run
    (nights.settings.data_dir / first["model_file"]).unlink()
    done = nights.night(day(1))
    assert done.run["trained_on"] == day(1)
    assert done.warnings == [f"model files are not there: {first['model_file']}; the models are trained again"]
    assert nights.night(day(2)).warnings == []


def test_a_file_that_was_changed_stops_the_night(nights):
    first = nights.night(day(0)).run
    path = nights.settings.data_dir / first["model_file"]
    path.write_bytes(path.read_bytes().replace(b"2026-03-01", b"2026-03-02"))
    with pytest.raises(ModelFileError, match="delete it, and the next night trains again"):
        nights.night(day(1))
    path.unlink()
    assert nights.night(day(1)).run["is_trained_tonight"]


def test_a_file_that_is_no_model_of_its_code_stops_the_night(nights):
    nights.learnt = "bad"
    nights.model = lambda kept, day, model=nights.model: (
        model(kept, day)
        if kept
        else (
            pl.DataFrame(schema=SCHEMA),
            make_model_run(day, "churn", "used", "", 0, {"trained": "bad"}),
            no_backtests(),
        )
    )
    nights.night(day(0))
    with pytest.raises(ModelFileError, match="it lacks 'trees'; delete it"):
        nights.night(day(1))


@pytest.mark.parametrize("status", ["held", "not enough data"])
def test_a_model_without_scores_has_none_until_it_is_trained_again(nights, status):
    nights.status = status
    first = nights.night(day(0))
    second = nights.night(day(1))
    assert (second.score, second.run["status"], second.run["message"]) == ([], status, "said then")
    assert (first.run["model_file"] is None) == (status == "not enough data")
    nights.status = "used"
    assert nights.night(day(7)).score == [float(day(7).toordinal())]


def test_a_model_that_learns_by_its_own_rule(nights):
    done = [nights.night(day(number), is_every_night=True).run for number in range(2)]
    assert [run["is_trained_tonight"] for run in done] == [True, True]
    nights.learnt = day(1)
    # it goes on with what it had, even when the others train
    third, eighth = (nights.night(day(number), is_every_night=True).run for number in (2, 8))
    assert not third["is_trained_tonight"] and not eighth["is_trained_tonight"]
    assert third["version"] == eighth["version"] == done[1]["version"] and eighth["trained_on"] == day(1)


def test_an_old_warehouse_without_model_files_trains(nights):
    nights.night(day(0))
    with duckdb.connect(str(nights.settings.snapshots / f"{day(0)}.duckdb")) as con:
        con.execute("drop table ops.trainings")
        for column in ("trained_on", "is_trained_tonight", "model_file"):
            con.execute(f"alter table ops.model_runs drop column {column}")
    done = nights.night(day(1))
    assert done.reason == "no training before"
    with duckdb.connect(str(nights.settings.snapshots / f"{day(1)}.duckdb")) as con:
        rows = con.execute("select as_of, trained_on from ops.model_runs order by as_of").fetchall()
    assert rows == [(day(0), None), (day(1), day(1))]
    # nor are files deleted for its sake, or kept
    assert prune_models(nights.settings) != []


def test_files_stay_while_a_published_night_uses_them(nights):
    versions = [nights.night(day(number)).run["version"] for number in (0, 3, 7, 14)]
    assert versions[0] == versions[1] and len(set(versions)) == 3
    stray = nights.settings.models / "notes.md"
    stray.write_text("mine")
    assert prune_models(nights.settings) == []
    # the first training is used by the snapshot of day 3 still
    (nights.settings.snapshots / f"{day(0)}.duckdb").unlink()
    (nights.settings.snapshots / f"{day(7)}.duckdb").unlink()
    dropped = {path.name for path in prune_models(nights.settings)}
    assert dropped == {f"{versions[2]}.json", f"{versions[2]}.md"}
    assert {path.stem for path in nights.settings.models.iterdir()} == {versions[0], versions[3], "notes"}
    (nights.settings.snapshots / f"{day(3)}.duckdb").write_bytes(b"broken")
    (nights.settings.snapshots / f"{day(14)}.duckdb").unlink()
    assert prune_models(nights.settings) == []


def test_settings_that_models_do_not_depend_on_are_settings():
    assert {one.name for one in fields(Settings)} >= NOT_OF_MODELS


def test_conditions_show_no_secret_setting(tmp_path):
    shown = {one.name for one in fields(Settings)} - NOT_OF_MODELS
    assert shown.isdisjoint({"database", "roles", "data_dir"})


def test_train_every_days_is_checked(tmp_path):
    assert read_settings(tmp_path, {}).train_every_days == 7
    with pytest.raises(SettingsError, match="train_every_days"):
        read_settings(tmp_path, {"CUSTOMER_PIPELINE_TRAIN_EVERY_DAYS": "0"})
