"""One night: what its steps share, their order, and how they fail. The steps are plain functions in steps/.

Each takes the night and a report(name, rows), and returns its rows.
"""

import re
import sys
import traceback
from pathlib import Path

import duckdb

from pipeline import ops
from pipeline.ingest.databases import all_layouts
from pipeline.ingest.outcomes import OrderDataStopped
from pipeline.ingest.rates import read_rates
from pipeline.ledger import Ledger
from pipeline.privacy.audit import audit
from pipeline.privacy.roles import load_roles
from pipeline.steps import building, landing, publishing, scoring
from pipeline.steps.model_files import ModelFileError
from pipeline.tags.audiences import AUDIENCE_FOLDER, AudienceError, load_audiences
from pipeline.tags.catalogue import CATALOGUE_FOLDER, CatalogueError, load_catalogue
from pipeline.transform.company_rules import load_company_rules
from pipeline.transform.identity_rules import IdentityError, load_decisions, load_rules
from pipeline.transform.matching import MatchingError
from pipeline.transform.survivorship import load_survivorship
from pipeline.warehouse import connect


class NightFailed(Exception):
    """The night stopped; yesterday still stands. The message says at which step, why, and the mend."""


class Night:
    """One run: its settings, paths and connection, and the steps it has taken so far."""

    def __init__(self, settings, as_of, run_id, started_at, full):
        self.settings, self.as_of, self.run_id, self.started_at, self.full = settings, as_of, run_id, started_at, full
        self.ledger = Ledger(settings.ledger)
        self.layouts = all_layouts(settings)
        # a fault in the file is told before anything is read
        read_rates(settings)
        sources = {layout.source for layout in self.layouts.values()}
        self.survivorship = load_survivorship(settings.identity, sources)
        self.catalogue = load_catalogue(CATALOGUE_FOLDER, settings.data_dir / "tags")
        self.audiences = load_audiences(AUDIENCE_FOLDER, settings.data_dir / "audiences")
        self.identity_rules = load_rules(settings.identity)
        self.identity_decisions = load_decisions(settings.identity)
        self.roles, self.role_moves = load_roles(settings), []
        self.company_rules = load_company_rules(settings.identity)
        self.scratch = settings.vault / "scratch" / run_id
        self.scratch.mkdir(parents=True)
        self.con = connect(settings, self.scratch)
        self.landings, self.warnings, self.steps = [], [], []
        self.previous, self.is_previous_earlier, self.lines = None, False, None
        # until when orders are known, how long without one is gone, and past days at which models learn: set with the facts
        self.orders_until, self.silence = as_of, ""
        self.horizon_days, self.horizon_run, self.cut_offs = None, None, []

    def warn(self, en, zh):
        """Something that whoever reads the summary or the page should know."""
        self.warnings.append(zh if self.settings.language == "zh" else en)

    def audit(self, what, object_name, row_count, purpose):
        """What this run does with personal data, on record."""
        audit(self.ledger, what, object_name, row_count, purpose, self.run_id)


def take_step(night, title, work, report):
    """One step's row count; its error as one line that carries no cell of a file, since Prefect keeps what is raised."""
    try:
        return work(night, report)
    except (
        OrderDataStopped,
        ops.LinesLost,
        CatalogueError,
        AudienceError,
        IdentityError,
        MatchingError,
        ModelFileError,
    ) as error:
        why = str(error)
    except duckdb.Error as error:
        why = f"{type(error).__name__}: " + re.sub(r"\"[^\"]*\"|'[^']*'", "…", str(error).splitlines()[0])
    except OSError as error:
        why = f"{error.strerror or type(error).__name__}; free the disk or mend its rights"
    except Exception as error:
        # a fault of ours: say where, but not the message, which may hold a cell of a file
        print("".join(traceback.format_tb(error.__traceback__)), file=sys.stderr)
        place = traceback.extract_tb(error.__traceback__)[-1]
        why = f"{type(error).__name__} in {Path(place.filename).name} line {place.lineno}"
    # raised outside the except blocks: the new error must not carry the old one, nor its frames
    raise NightFailed(f"{title}: {why}")


STEPS = (
    ("Ingest", landing.ingest),
    ("Identity", building.identity),
    ("Core", building.core),
    ("Facts", building.facts),
    ("Checks", building.checks),
    ("Scores", scoring.score),
    ("Tags", scoring.tag),
    ("Record", publishing.record),
    ("Role files", publishing.write_roles),
    ("Exports and report", publishing.write_out),
    ("Publish", publishing.publish_night),
)
