"""Great Expectations inside an open DuckDB connection: counts come out, values never do.

Importing this module imports great_expectations, which takes seconds: suites.py does so when it runs a suite. Two things
are ours. Great Expectations reads a result after giving its connection back, and DuckDB has discarded it by then (issues
10738 and 11579 of great_expectations): results are fetched whole. And it gives counts only together with sample values,
which may be personal: the expectations below ask for the counts alone, so no query for values is sent.
"""

import logging
import os

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import great_expectations.expectations as gxe
from sqlalchemy.pool import StaticPool

logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
COUNTS_ONLY = {"result_format": "BOOLEAN_ONLY"}


class SharedConnection:
    """A DuckDB connection as SQLAlchemy wants one. It is only read from: transactions and closing stay with its owner."""

    def __init__(self, con):
        self._con = con
        self.notices = []

    def cursor(self):
        return FetchedCursor(self, self._con)

    def begin(self):
        pass

    commit = rollback = close = begin


class FetchedCursor:
    """A cursor that holds its whole result, so that the next query on the same connection cannot take it away."""

    arraysize = 1
    rowcount = -1

    def __init__(self, connection, con):
        self.connection = connection
        self.description = None
        self._con = con
        self._rows = []

    def execute(self, statement, parameters=None, context=None):
        self._con.execute(statement, parameters or [])
        self.description = self._con.description
        self._rows = self._con.fetchall()

    def fetchone(self):
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size=1):
        taken, self._rows = self._rows[:size], self._rows[size:]
        return taken

    def fetchall(self):
        return self.fetchmany(len(self._rows))

    def close(self):
        self._rows = []


class ColumnCounts:
    """Mixin of a column's expectation: its verdict and counts, from the one query that all of them share."""

    def get_validation_dependencies(self, execution_engine=None, runtime_configuration=None, **kwargs):
        return super().get_validation_dependencies(execution_engine, COUNTS_ONLY, **kwargs)

    def _validate(self, metrics, runtime_configuration=None, execution_engine=None):
        verdict = super()._validate(metrics, COUNTS_ONLY, execution_engine)
        unexpected = metrics[f"{self.map_metric}.unexpected_count"] or 0
        return _verdict(verdict["success"], metrics["table.row_count"], unexpected)


class ExpectFilled(ColumnCounts, gxe.ExpectColumnValuesToNotBeNull):
    """No value of a column is missing."""


class ExpectEmpty(ColumnCounts, gxe.ExpectColumnValuesToBeNull):
    """No value of a column is there."""


class ExpectKnown(ColumnCounts, gxe.ExpectColumnValuesToBeInSet):
    """Every value of a column is one of its values."""


class ExpectWithin(ColumnCounts, gxe.ExpectColumnValuesToBeBetween):
    """Every value of a column keeps to its minimum or maximum."""


class ExpectNoRows(gxe.UnexpectedRowsExpectation):
    """A query over {batch} gives no row. Its rows are counted, not read."""

    metric_dependencies = ("unexpected_rows_query.row_count", "table.row_count")

    def _validate(self, metrics, runtime_configuration=None, execution_engine=None):
        unexpected = metrics["unexpected_rows_query.row_count"]
        return _verdict(unexpected == 0, metrics["table.row_count"], unexpected)


class ExpectRowCount(gxe.ExpectTableRowCountToBeBetween):
    """The table has at least min_value rows."""

    def _validate(self, metrics, runtime_configuration=None, execution_engine=None):
        verdict = super()._validate(metrics, runtime_configuration, execution_engine)
        return _verdict(verdict["success"], metrics["table.row_count"], None)


def _verdict(success, element_count, unexpected_count):
    return {"success": success, "result": {"element_count": element_count, "unexpected_count": unexpected_count}}


def run_suite(con, view: str, expectations: list) -> list:
    """Great Expectations' result of each expectation over a view of con, in their order."""
    shared = SharedConnection(con)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_sql(
        "duckdb", connection_string="duckdb://", kwargs={"creator": lambda: shared, "poolclass": StaticPool}
    )
    batch = source.add_table_asset(view).add_batch_definition_whole_table(view).get_batch()
    suite = gx.ExpectationSuite(view, expectations=expectations)
    try:
        return batch.validate(suite, result_format="BASIC").results
    finally:
        # Great Expectations remembers the last context for the life of the process: do not let it hold the connection
        shared._con = None
