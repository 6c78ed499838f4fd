"""Tonight against the training window: ops.drift, the references it is compared with, and the warnings."""

import json

import polars as pl

from pipeline import ops
from pipeline.model_names import MODELS, drifted_name
from pipeline.models import contract_reasons, spend_boosting
from pipeline.models.churn_reasons import add_derived
from pipeline.models.drift import (
    DRIFT_SCHEMA,
    REFERENCE_SCHEMA,
    WARNING,
    compare,
    make_reference,
)
from pipeline.steps.realising import has_score, realise, word_realised
from pipeline.warehouse import frame, has_table, identifier, value, write_frame

# the newest of the training cut-offs: older ones would call the growth of a shop drift, a single one the season
REFERENCE_CUT_OFFS = 2
# model -> what of its scores is compared from night to night; the table is named after the model
SCORES = {
    "rfm": ("rfm_segment",),
    "segments": ("segment_id",),
    "clv": ("p_alive", "expected_orders_90d", "clv_365d_amount"),
    "churn": ("churn_probability",),
    "next_purchase": ("purchase_probability_30d",),
    "contract_churn": ("churn_probability",),
}
# what the models of purchases look at: fitted on the facts that they score, so facts are compared from training to training
CLV_FACTS = ("order_day_count", "recency_days", "avg_order_amount")


def drift(night, looked_at, report):
    """Write ops.drift and ops.drift_references from tonight's scores, and warn of what moved.

    looked_at: model -> (the facts, column as_of, it was fitted on tonight, the facts it scored tonight). Without rows of the first,
    as on a night that only scores, a model is held against the reference kept since it was trained.
    """
    runs = {
        run["model"]: run
        for run in frame(night.con, "select * from ops.model_runs where as_of = ?", (night.as_of,)).to_dicts()
        if run["status"] == "used"
    }
    kept = _read_references(night)
    rows, references = [], []
    for model, run in sorted(runs.items()):
        for kind, compared in (
            ("feature", _compare_features(night, run, *looked_at.get(model, (None, None)), kept)),
            ("score", _compare_scores(night, run, kept)),
        ):
            found, reference = compared
            references += reference
            rows += [{"model": model, "version": run["version"], "kind": kind} | row for row in found]
    rows += realise(night, runs)
    made = {(row["model"], row["kind"]) for row in references}
    references += [row for row in kept if (row["model"], row["kind"]) not in made]
    table = pl.DataFrame([{"as_of": night.as_of} | row for row in rows], DRIFT_SCHEMA)
    floats = [name for name, kind in DRIFT_SCHEMA.items() if kind == pl.Float64]
    table = table.with_columns(pl.col(floats).fill_nan(None).round(6)).sort("model", "kind", "name", "horizon_days")
    ops.append_history(night.con, "drift", table, night.as_of, night.previous)
    write_frame(
        night.con, "ops.drift_references", pl.DataFrame(references, REFERENCE_SCHEMA).sort("model", "kind", "name")
    )
    _warn(night, table, {row["version"] for row in kept}, {model: run.get("trained_on") for model, run in runs.items()})
    report("ops.drift", len(table))


def newest_cut_offs(training):
    """Of labelled facts, the rows that tonight's are held against."""
    days = sorted(training["as_of"].unique(), reverse=True)[:REFERENCE_CUT_OFFS]
    return training.filter(pl.col("as_of").is_in(days))


def _read_references(night):
    if not (night.previous and has_table(night.con, "previous", "ops", "drift_references")):
        return []
    return frame(night.con, "select * from previous.ops.drift_references where as_of < ?", (night.as_of,)).to_dicts()


def _make_references(night, run, kind, rows, names, reference_as_of):
    known = {"as_of": night.as_of, "model": run["model"], "version": run["version"], "kind": kind}
    return [
        known
        | {
            "name": name,
            "reference_as_of": reference_as_of,
            "bins": json.dumps(made["bins"], ensure_ascii=False),
            "counts": json.dumps(made["counts"]),
            "row_count": len(rows),
        }
        for name, made in make_reference(rows, names).items()
    ]


def _compare(night, references, rows):
    """Rows of ops.drift of a frame against kept references of one model and kind."""
    reference = {
        row["name"]: {"bins": json.loads(row["bins"]), "counts": json.loads(row["counts"])} for row in references
    }
    dates = {row["name"]: row["reference_as_of"] for row in references}
    found = compare(reference, rows, night.settings.psi_warning)
    return [row | {"reference_as_of": dates[row["name"]]} for row in found]


def _compare_features(night, run, training, tonight, kept):
    """(rows, references) of what a model that learns from labelled facts looks at."""
    if tonight is None:
        return [], []
    params = json.loads(run["params"])
    if run["model"] in ("segments", "clv"):
        used = [feature["name"] for feature in params.get("features", ())] or CLV_FACTS
        allowed = (pl.col("order_count") > 0) & pl.col("is_profiling_allowed").fill_null(True)
        tonight = tonight.filter(allowed)
        # where the challenger gives a figure, what it reads counts too
        if "boosting" in params:
            used = tuple(dict.fromkeys([*used, *params["boosting"]["features"]]))
            tonight = spend_boosting.derive(tonight)
        return _compare_with_kept(night, run, "feature", tonight, used, kept)
    references = []
    if training is not None and len(training):
        rows = _population(newest_cut_offs(training), run["model"], params)
        last = training["as_of"].max()
        references = _make_references(night, run, "feature", rows, params.get("features", ()), last)
    standing = references or [row for row in kept if (row["model"], row["kind"]) == (run["model"], "feature")]
    if not standing:
        return [], []
    return _compare(night, standing, _population(tonight, run["model"], params)), references


def _population(facts, model, params):
    """The customers that a model looks at, then or now: the same rule on both sides."""
    allowed = pl.col("is_profiling_allowed").fill_null(True)
    if model == "contract_churn":
        return contract_reasons.add_derived(facts.filter(pl.col("has_contract").fill_null(False) & allowed))
    if model not in ("churn", "next_purchase"):
        return facts
    days = params.get("active_days") or params["horizon_days"]
    chosen = (pl.col("order_count") > 0) & (pl.col("recency_days") <= days)
    return add_derived(facts.filter(chosen & allowed))


def _compare_scores(night, run, kept):
    """(rows, references): tonight's scores against those of the training before, or since which nothing was trained.

    On the night of a training that tells how far the new model moved the scores, on the others how far the customers did.
    """
    database = value(night.con, "select current_database()")
    names = [name for name in SCORES.get(run["model"], ()) if has_score(night, database, run["model"], name)]
    if not names:
        return [], []
    rows = frame(night.con, f"select {', '.join(names)} from scores.{identifier(run['model'])}")
    # ids of segments are names, not numbers
    if "segment_id" in rows.columns:
        rows = rows.with_columns(pl.col("segment_id").cast(pl.String))
    return _compare_with_kept(night, run, "score", rows, names, kept)


def _compare_with_kept(night, run, kind, rows, names, kept):
    """(rows, references): against the reference kept since the model's version was new; a new version becomes the next one."""
    standing = [row for row in kept if (row["model"], row["kind"]) == (run["model"], kind)]
    found = _compare(night, standing, rows) if standing else []
    if standing and standing[0]["version"] == run["version"]:
        return found, []
    return found, _make_references(night, run, kind, rows, names, night.as_of)


def _warn(night, table, versions, trained_on):
    """One line a model and kind of what passed its limit. versions: of the models that there are references of; trained_on: by model."""
    warned = table.filter(pl.col("status") == WARNING)
    for (model, kind), rows in warned.group_by("model", "kind", maintain_order=True):
        if kind == "realised":
            for row in rows.iter_rows(named=True):
                night.warn(*word_realised(row, night.settings.reporting_currency, trained_on.get(model)))
            continue
        of = len(table.filter((pl.col("model") == model) & (pl.col("kind") == kind)))
        rows = rows.sort("value", "name", descending=[True, False])
        worst, worst_zh = (
            ", ".join(
                f"{drifted_name(name)[place]} {psi:.2f}" for name, psi in rows.head(5).select("name", "value").rows()
            )
            for place in (0, 1)
        )
        more, (called, called_zh) = " ..." if len(rows) > 5 else "", MODELS.get(model, (model, model))
        limit, since = night.settings.psi_warning, rows["reference_as_of"].min()
        nouns = {"feature": ("features", "个特征"), "score": ("scores", "项评分")}[kind]
        is_new = kind == "score" and rows["version"][0] not in versions
        mend = (
            "see whether an export is missing or the business changed",
            "请核对是否缺少导出数据、业务是否有变",
        )
        if not night.is_training:
            mend = (
                f"{mend[0]}, and train anew by deleting the files in models/",
                f"{mend[1]}；如需重新训练，请删除 models/ 中的文件",
            )
        if is_new:
            mend = (
                "the model was trained anew: see whether its scores mean the same",
                "模型已重新训练：请核对评分含义是否改变",
            )
        night.warn(
            f"{called}: {len(rows)} of {of} {nouns[0]} moved since {since} (population stability index at least {limit}):"
            f" {worst}{more}; {mend[0]}",
            f"模型 {called_zh}：{of} {nouns[1]}中有 {len(rows)} 项自 {since} 以来分布明显漂移（群体稳定性指数 PSI 不低于 {limit}）："
            f"{worst_zh}{more}；{mend[1]}",
        )
