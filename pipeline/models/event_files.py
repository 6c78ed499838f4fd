"""A fitted EventModel as plain numbers, and back: what a model file holds of it."""

from pipeline.models.classifiers import Boosting, Encoding, Logistic
from pipeline.models.events import EventModel
from pipeline.models.records import reading_model

CLASSIFIERS = {kind.name: kind for kind in (Logistic, Boosting)}


def model_to_dict(model):
    """All that scoring reads, as a dict that JSON holds exactly."""
    return {
        "event": model.event.name,
        "classifier": model.classifier.name,
        "numeric": list(model.encoding.numeric),
        # a list: the order of the columns counts
        "categorical": [[name, list(levels)] for name, levels in model.encoding.categorical.items()],
        "slope": model.slope,
        "intercept": model.intercept,
        "status": model.status,
        "message": model.message,
        "metrics": model.metrics,
        "fitted": model.classifier.to_dict(),
    }


@reading_model()
def model_from_dict(kept, event):
    """The EventModel that model_to_dict came from, without its test rows.

    Raises NotAModel where kept is no model of the event, or its features are not the event's.
    """
    if kept["event"] != event.name or kept["classifier"] not in CLASSIFIERS:
        raise ValueError(f"it foretells {kept['event']!r} by {kept['classifier']!r}, not {event.name!r}")
    encoding = Encoding(tuple(kept["numeric"]), dict(kept["categorical"]))
    unknown = sorted({*encoding.numeric} - {*event.numeric}) + sorted({*encoding.categorical} - {*event.categorical})
    if unknown:
        raise ValueError(f"it reads {', '.join(unknown)}, which {event.name!r} has no feature for")
    classifier = CLASSIFIERS[kept["classifier"]].from_dict(kept["fitted"], encoding)
    line = float(kept["slope"]), float(kept["intercept"])
    return EventModel(event, classifier, encoding, *line, kept["status"], kept["message"], kept["metrics"])
