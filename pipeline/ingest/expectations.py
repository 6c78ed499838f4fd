"""Great Expectations inside an open DuckDB connection: counts come out, values never do.

Importing this module imports great_expectations, which takes seconds: suites.py does so when it runs a suite. Two things
are ours. Great Expectations knows DuckDB only through SQLAlchemy, and reads a result after giving its connection back,
when duckdb-engine has discarded it (issues 10738 and 11579 of great_expectations): the small dialect below lends out the
night's own connection, with its temporary views, and keeps each result. And it gives counts only together with sample
values, which may be personal: the expectations below ask for the counts alone, so no query for values is sent.
"""

import logging
import os

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")

import great_expectations as gx
import great_expectations.expectations as gxe
import sqlalchemy
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import StaticPool
from sqlalchemy.sql.compiler import IdentifierPreparer

# importing great_expectations sends every warning of the process to a logger
logging.captureWarnings(False)
COUNTS_ONLY = {"result_format": "BOOLEAN_ONLY"}


class QuotedNames(IdentifierPreparer):
    """Every identifier in quotes: DuckDB has reserved words that SQLAlchemy does not know."""

    def _requires_quotes(self, value):
        return True


class LentDuckDB(DefaultDialect):
    """SQLAlchemy's idea of DuckDB, as far as suites need it: queries, and the names of a view's columns."""

    name = "duckdb"
    driver = "lent"
    default_paramstyle = "qmark"
    supports_statement_cache = False
    preparer = QuotedNames

    class Failures:
        """The errors of a driver, as SQLAlchemy looks for them."""

        paramstyle = "qmark"
        Error = Exception

    @classmethod
    def import_dbapi(cls):
        return cls.Failures

    def get_columns(self, connection, table_name, schema=None, **kw):
        described = connection.exec_driver_sql(f"describe {self.identifier_preparer.quote(table_name)}")
        return [{"name": row[0], "type": sqlalchemy.types.NullType(), "nullable": True} for row in described]

    def get_pk_constraint(self, connection, table_name, schema=None, **kw):
        return {"constrained_columns": [], "name": None}


sqlalchemy.dialects.registry.register("duckdb.lent", __name__, "LentDuckDB")


class LentConnection:
    """The connection as SQLAlchemy wants one. It is only read from: transactions and closing stay with its owner."""

    def __init__(self, con):
        self.con = con

    def cursor(self):
        return KeptCursor(self.con)

    def begin(self):
        pass

    commit = rollback = close = begin


class KeptCursor:
    """A cursor that holds its whole result, so that the next query on the same connection cannot take it away."""

    arraysize = 1
    rowcount = -1

    def __init__(self, con):
        self.con = con
        self.description = None
        self.rows = []

    def execute(self, statement, parameters=()):
        self.con.execute(statement, list(parameters))
        self.description = [(name, None, None, None, None, None, None) for name, *_ in self.con.description]
        self.rows = self.con.fetchall()

    def fetchone(self):
        return self.rows.pop(0) if self.rows else None

    def fetchmany(self, size=1):
        taken, self.rows = self.rows[:size], self.rows[size:]
        return taken

    def fetchall(self):
        return self.fetchmany(len(self.rows))

    def close(self):
        self.con, self.rows = None, []


class ColumnCounts:
    """Mixin of a column's expectation: its verdict and counts, from the one query that all of them share."""

    def get_validation_dependencies(self, execution_engine=None, runtime_configuration=None, **kwargs):
        dependencies = super().get_validation_dependencies(execution_engine, COUNTS_ONLY, **kwargs)
        dependencies.result_format = {"result_format": "BASIC"}
        return dependencies

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
    # here and not at import: whoever configures logging later (Prefect does, at a flow's start) would undo it
    for name in ("great_expectations", "great_expectations.data_context.types.base"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    lent = LentConnection(con)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    source = context.data_sources.add_sql(
        "duckdb", connection_string="duckdb+lent://", kwargs={"creator": lambda: lent, "poolclass": StaticPool}
    )
    batch = source.add_table_asset(view).add_batch_definition_whole_table(view).get_batch()
    suite = gx.ExpectationSuite(view, expectations=expectations)
    try:
        results = batch.validate(suite, result_format="BASIC").results
    finally:
        # Great Expectations keeps the last context for the life of the process: it must not keep the connection
        lent.con = None
    return sorted(results, key=lambda result: result.expectation_config.meta["place"])
