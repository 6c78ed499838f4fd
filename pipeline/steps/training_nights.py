"""Which nights train: models are fitted every train_every_days, and score with what they learnt then on the nights between."""

import hashlib
import json
import platform
from dataclasses import fields
from datetime import timedelta
from importlib import metadata
from pathlib import Path

import polars as pl

import pipeline
from pipeline import ops
from pipeline.models.cards import newest_figures
from pipeline.models.records import NotAModel, no_backtests, to_json
from pipeline.settings import Settings
from pipeline.steps.model_files import FORMAT, has_model, read_model, refuse_model, write_model
from pipeline.warehouse import frame, has_table, value

# settings that no model depends on; one that is not named here counts, and trains again when it changes
NOT_OF_MODELS = {
    "data_dir",
    "language",
    "phone_country_code",
    "workbook_max_customers",
    "daily_snapshots",
    "monthly_snapshots",
    "keep_raw_days",
    "storage_version",
    "memory_limit",
    "threads",
    "contact_limits",
    "roles",
    "database",
    "train_every_days",
    "psi_warning",
    "realised_gap_warning",
    "discount_rate_yearly",
    # RFM has a rule of its own
    "rfm_window_days",
    "rfm_hold_days",
}
# a history that has grown or shrunk by more since the training, such as by a file of past years, is another one
GROWTH = 1.25
LIBRARIES = ("numpy", "scipy", "scikit-learn", "polars", "duckdb")


def decide_training(night, report):
    """Set night.is_training, night.kept (model -> its file's content, on nights that only score), night.runs_before (model
    -> its row of the night before) and night.training (the row for ops.trainings).

    Needs core. The night before as_of counts, so that a night that is run again decides as it did.
    """
    tonight = _conditions(night)
    before = _last_training(night)
    night.kept, night.runs_before = {}, _runs_before(night)
    reason = _reason(night, before, tonight)
    used = (
        [] if reason else [run for run in night.runs_before.values() if run["status"] == "used" and run["model_file"]]
    )
    lost = [run for run in used if not has_model(night.settings.models, run["version"])]
    if lost:
        files = ", ".join(run["model_file"] for run in lost)
        reason = f"model files are not there: {files}"
        night.warn(f"{reason}; the models are trained again", f"缺少模型文件：{files}；已重新训练模型")
    night.is_training = reason is not None
    if not night.is_training:
        night.kept = {run["model"]: read_model(night.settings.models, run["version"]) for run in used}
    trained_on = night.as_of if night.is_training else before["trained_on"]
    at_training = tonight if night.is_training else json.loads(before["conditions"])
    night.training = {
        "as_of": night.as_of,
        "is_trained_tonight": night.is_training,
        "trained_on": trained_on,
        "reason": reason or _why_not(night),
        "conditions": to_json(at_training),
    }
    report(f"models: {'training' if night.is_training else f'as trained on {trained_on}'}", len(night.kept))


def describe_training(training):
    """A row of ops.trainings in words: trained tonight and why, or since when not."""
    if training["is_trained_tonight"]:
        return f"trained tonight: {training['reason']}"
    return f"as trained on {training['trained_on']}: {training['reason']}"


def run_model(night, name, schema, run, is_every_night=False):
    """(scores, model_run, backtests) of a model: trained tonight and its file written, or scored as it was trained.

    run(kept) gives these three; kept is None to train, else the params of its model file. is_every_night: a model that has a
    rule of its own for when it learns; what it learnt anew is a new version, the same again is not.
    """
    before = night.runs_before.get(name)
    if night.is_training or is_every_night or before is None:
        scores, model_run, backtests = run(None)
        return scores, _keep(night, model_run, backtests, before if is_every_night else None), backtests
    # what was held back, or had not enough data, stays so until it is trained again
    if name not in night.kept:
        return pl.DataFrame(schema=schema), _of_tonight(night, before, 0), no_backtests()
    content = night.kept[name]
    try:
        scores, model_run, backtests = run(content["params"])
    except NotAModel as error:
        raise refuse_model(before["version"], str(error)) from None
    if model_run["status"] != "used":
        # nobody to score tonight
        return scores, _of_tonight(night, before, 0) | {"message": model_run["message"]}, backtests
    row = _of_tonight(night, before, len(scores))
    row["message"] = model_run["message"] or content["message"]
    row["metrics"] = to_json(content["metrics"] | json.loads(model_run["metrics"]))
    return scores, row, backtests


def write_trainings(night):
    """ops.trainings: tonight's row after those of earlier nights."""
    rows = pl.DataFrame([night.training], ops.TRAININGS)
    ops.append_history(night.con, "trainings", rows, night.as_of, night.previous)


def _keep(night, model_run, backtests, before):
    """A trained model's row of ops.model_runs, its file in the scratch folder; before: a row whose params may come again."""
    kept = model_run.pop("kept", None) or json.loads(model_run["params"])
    if model_run["status"] == "not enough data":
        return model_run
    went_on = before and before["model_file"] and before["params"] == model_run["params"]
    if went_on and has_model(night.settings.models, before["version"]):
        same = {name: before[name] for name in ("version", "model_file", "trained_on")}
        return model_run | same | {"is_trained_tonight": False}
    content = {
        "format": FORMAT,
        "model": model_run["model"],
        "trained_on": str(night.as_of),
        "status": model_run["status"],
        "message": model_run["message"],
        "row_count": model_run["row_count"],
        "params": kept,
        "metrics": json.loads(model_run["metrics"]),
        "backtests": newest_figures(backtests),
        "training": json.loads(night.training["conditions"])
        | {
            "cut_offs": [str(day) for day in sorted(night.cut_offs)],
            "pipeline": _version_of("customer-pipeline"),
            "python": platform.python_version(),
            "libraries": {name: _version_of(name) for name in LIBRARIES},
        },
    }
    version = write_model(night.scratch / "models", content)
    return model_run | {"version": version, "model_file": f"models/{version}.json"}


def _of_tonight(night, before, row_count):
    """The row of the night before, for tonight."""
    return before | {"as_of": night.as_of, "row_count": row_count, "is_trained_tonight": False}


def _reason(night, before, tonight):
    """Why tonight trains, None when it does not."""
    if before is None:
        return "no training before"
    then = json.loads(before["conditions"])
    for name, what in (
        ("settings", "a setting"),
        ("entities", "what is delivered"),
        ("code", "the code of the models"),
    ):
        if then.get(name) != tonight[name]:
            return f"{what} changed since the last training"
    # nothing new to learn, but silence
    if night.orders_until < night.as_of:
        return None
    age = (night.as_of - before["trained_on"]).days
    if age >= night.settings.train_every_days:
        return f"the last training was {age} days ago"
    orders = then.get("order_count", 0)
    if not orders / GROWTH <= tonight["order_count"] <= orders * GROWTH:
        return f"{tonight['order_count']:,} orders are known, {orders:,} were at the last training"
    return None


def _why_not(night):
    if night.orders_until < night.as_of:
        return (
            f"no order since {night.orders_until - timedelta(days=1)}: not trained on days whose orders may be missing"
        )
    return f"within {night.settings.train_every_days} days of the last training, and nothing changed"


def _conditions(night):
    """What a training depends on, but for the day: settings, entities delivered, the models' code; orders before as_of."""
    settings = {
        one.name: getattr(night.settings, one.name) for one in fields(Settings) if one.name not in NOT_OF_MODELS
    }
    return {
        "settings": json.loads(to_json(settings)),
        "entities": sorted({landing["entity"] for landing in night.landings}),
        "code": code_digest(),
        "order_count": value(night.con, "select count(*) from core.orders where ordered_on < ?", (night.as_of,)),
    }


def code_digest():
    """Digest of the code that makes facts and models: another version of the pipeline trains anew."""
    found, root = hashlib.sha256(), Path(pipeline.__path__[0])
    for path in sorted([*root.glob("models/*"), *root.glob("steps/*.py"), *root.glob("transform/**/*")]):
        if path.suffix in (".py", ".sql", ".yaml"):
            found.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return found.hexdigest()[:16]


def _last_training(night):
    if not (night.previous and has_table(night.con, night.previous, "ops", "trainings")):
        return None
    rows = frame(
        night.con,
        f"select * from {night.previous}.ops.trainings where as_of < ? order by as_of desc limit 1",
        (night.as_of,),
    )
    return rows.row(0, named=True) if len(rows) else None


def _runs_before(night):
    """Each model's row of the night before; only nights that knew of model files count."""
    if not (night.previous and has_table(night.con, night.previous, "ops", "trainings")):
        return {}
    rows = frame(
        night.con,
        f"select * from {night.previous}.ops.model_runs where as_of < $1 and as_of ="
        f" (select max(as_of) from {night.previous}.ops.trainings where as_of < $1) order by model",
        (night.as_of,),
    )
    return {row["model"]: row for row in rows.iter_rows(named=True)}


def _version_of(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
