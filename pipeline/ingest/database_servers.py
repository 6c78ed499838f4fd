"""A database server as a pull sees it: a read-only session that hands out rows as text, and its errors without secrets."""

import importlib
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from queue import Empty, Queue
from threading import Thread

import polars as pl
from sqlalchemy import bindparam, column, create_engine, func, literal_column, or_, select, table, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.types import DateTime

CONNECT_SECONDS = 10
BATCH_ROWS = 20_000
DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "oracle": "oracle+oracledb",
}
# what the drivers call a column of moments, which the server writes in the zone of the session: TIMESTAMP, timestamptz
MOMENT_TYPES = {"pymysql": 7, "psycopg": 1184}
# SQLSTATE, MySQL error number or Oracle code -> what it means to who wrote the settings
CAUSES = {
    "wrong user or password": ("28000", "28P01", 1045, 1698, "ORA-01017", "ORA-28000", "ORA-01005"),
    "no such database": ("3D000", 1049, "ORA-12514", "ORA-12505", "DPY-6001", "DPY-6003"),
    "no such table or schema": ("42P01", "3F000", 1146, "ORA-00942"),
    "no such column; is the cursor's still there?": ("42703", 1054, "ORA-00904"),
    "the user may not read it": ("42501", 1142, 1143, 1044, 1227, "ORA-01031", "ORA-01045"),
    "the query is not valid SQL there": ("42601", 1064, 1060, "ORA-00900", "ORA-00933", "ORA-00936", "ORA-00923"),
    "the cursor cannot be compared with what it last held": ("42883", "22007", "22P02", "ORA-01722", "ORA-00932"),
    "the statement would write; only reading is allowed": ("25006", 1792, "ORA-01456"),
    "it took longer than timeout_minutes": ("57014", "55P03", 1205, 1969, 3024, "DPY-4024", "ORA-03156"),
    "the connection was lost or silent for timeout_minutes": (
        "57P01",
        "57P02",
        "08006",
        "08003",
        2006,
        2013,
        1927,
        "DPY-4011",
        "DPY-1001",
    ),
    "the server cannot be reached": ("08001", 2002, 2003, 2005, 1040, "53300", "57P03", "DPY-6005", "ORA-12541"),
    "a value is not text in the encoding that the server states": ("22021", "22P05"),
}


# what nobody but who wrote the settings can mend
OF_SETTINGS = tuple(list(CAUSES)[:8])
# what the drivers call a column of texts, where a server does not compare texts with numbers or moments
TEXT_TYPES = {"psycopg": {18, 19, 25, 1042, 1043}}


class PullFailed(Exception):
    """A database could not be read; the message says why and the mend in one line, with no URL, name of a user or value."""


class EntryMisset(PullFailed):
    """The same, where an entry or its URL names what is not there or cannot serve: waiting does not help."""


def select_statement(entry, last=None, with_blank=False):
    """Everything of an entry's table or query, from the cursor value `last` on where one is given.

    with_blank: also the rows whose cursor is null.
    """
    statement = select(literal_column("*")).select_from(_source(entry))
    if last is None:
        return statement
    kind = DateTime(timezone=True) if isinstance(last, datetime) and last.tzinfo else None
    at = column(entry.cursor)
    newer = at >= bindparam("last_pulled", last, type_=kind)
    return statement.where(or_(newer, at.is_(None)) if with_blank else newer)


def count_blank(connection, entry) -> int:
    """How many rows of an entry have no cursor."""
    counted = select(func.count()).select_from(_source(entry)).where(column(entry.cursor).is_(None))
    return int(connection.execute(counted).scalar())


def _source(entry):
    if entry.query:
        # as it stands: no part of it is a parameter of ours; on a line of its own, so that a comment ends with it
        written = entry.query.strip().rstrip("; \n\t").replace(":", "\\:")
        return text(f"(\n{written}\n) pulled")
    return table(entry.table, schema=entry.schema)


@contextmanager
def reading_session(url_text: str, timeout_minutes: int):
    """A connection that can only read and cannot wait for ever, whose rows come as the server writes them. Raises PullFailed."""
    try:
        url = make_url(url_text)
    except ArgumentError:
        raise EntryMisset(
            "holds no SQLAlchemy URL; write one such as mysql+pymysql://user:password@host/name"
        ) from None
    name = url.get_backend_name()
    if name not in DRIVERS:
        raise EntryMisset(
            f"holds the URL of a {name} database; {', '.join(sorted(set(DRIVERS) - {'postgres'}))} can be read"
        )
    driver = DRIVERS[name]
    if "+" in url.drivername and url.drivername != driver:
        raise EntryMisset(f"names the driver {url.drivername}; write {driver}")
    seconds = round(timeout_minutes * 60)
    begin, arguments = SESSIONS[driver.split("+")[1]]
    try:
        engine = create_engine(
            url.set(drivername=driver), connect_args=arguments(seconds), poolclass=NullPool, hide_parameters=True
        )
    except (ImportError, NoSuchModuleError):
        raise EntryMisset(f"needs the driver of {driver}; pip install 'customer-pipeline[databases]'") from None
    why = None
    try:
        with _connected(engine) as connection:
            begin(connection, seconds)
            try:
                yield connection
            except BaseException:
                # closing an unfinished result would first read all the rest of it
                with suppress(Exception):
                    connection.invalidate()
                raise
    except (SQLAlchemyError, UnicodeError, OSError) as error:
        why = cause_of(error)
    if why:
        # raised outside: the driver's own message, which may hold the user, the host or a value, is not carried along
        raise (EntryMisset if why.startswith(OF_SETTINGS) else PullFailed)(why)


def _connected(engine):
    """A connection of an engine, given up after a while: not every driver bounds its own log-in, nor the name's look-up."""
    found = Queue()

    def connect():
        try:
            found.put(engine.connect())
        except BaseException as error:
            found.put(error)

    # a daemon: what never ends must not keep the process from ending
    Thread(target=connect, daemon=True).start()
    try:
        connection = found.get(timeout=2 * CONNECT_SECONDS)
    except Empty:
        raise PullFailed("the server cannot be reached: it accepts, but does not answer") from None
    if isinstance(connection, BaseException):
        raise connection
    return connection


def cause_of(error: BaseException) -> str:
    """What a driver's error means, in our own words, with the server's code and nothing of its message."""
    if isinstance(error, UnicodeError):
        return "a value is not text in the encoding that the server states"
    original = error.orig if isinstance(error, DBAPIError) else error
    codes = _codes(original)
    for cause, known in CAUSES.items():
        for code in codes:
            if code in known:
                return f"{cause} ({code})"
    # libpq says why a connection fails in words alone
    words = str(original)
    if "password authentication failed" in words or "no password supplied" in words:
        return "wrong user or password"
    if "database" in words and "does not exist" in words:
        return "no such database"
    if (
        type(original).__name__ in ("OperationalError", "ConnectionTimeout", "InterfaceError", "TimeoutError")
        and not codes
    ):
        return "the server cannot be reached"
    return f"{type(original).__name__}{f' ({codes[0]})' if codes else ''}"


def _codes(original):
    codes = [getattr(original, "sqlstate", None)]
    first = original.args[0] if getattr(original, "args", None) else None
    codes.append(getattr(first, "full_code", None) or (first if isinstance(first, int) else None))
    return [code for code in codes if code]


def write_rows(connection, statement, folder: Path, cursor: str | None = None) -> list[str]:
    """A statement's rows as Parquet files of at most BATCH_ROWS rows in a folder, text columns c0, c1, ... Their real names.

    They are read as the server sends them: no more than one batch is in memory. Raises EntryMisset before the first where
    the cursor's column is one of texts, which the server would not compare on the next night.
    """
    result = connection.execution_options(stream_results=True, max_row_buffer=BATCH_ROWS).execute(statement)
    names = list(result.keys())
    texts = TEXT_TYPES.get(connection.dialect.driver, ())
    if any((name, described[1] in texts) == (cursor, True) for name, described in _described(names, result)):
        raise EntryMisset(no_cursor(cursor))
    kind = MOMENT_TYPES.get(connection.dialect.driver)
    moments = {place for place, described in enumerate(result.cursor.description) if described[1] == kind}
    nothing = pl.DataFrame(schema={f"c{place}": pl.String for place in range(len(names))})
    nothing.write_parquet(folder / "000000.parquet")
    for number, rows in enumerate(result.partitions(BATCH_ROWS), start=1):
        columns = [text_series(f"c{place}", cells) for place, cells in enumerate(zip(*rows, strict=True))]
        columns = [_with_offset(column) if place in moments else column for place, column in enumerate(columns)]
        pl.DataFrame(columns).write_parquet(folder / f"{number:06}.parquet")
    return names


def _described(names, result):
    return zip(names, result.cursor.description, strict=True)


def no_cursor(column_name: str) -> str:
    """Why a column of texts is no cursor, and the mend."""
    return (
        f"cursor {column_name}: it holds texts; name a column of integers, dates or times, or cast it to one in a query"
    )


def text_series(name: str, cells: tuple) -> pl.Series:
    """One column of a batch as text: bytes as \\x and hexadecimal digits, a moment to its last digit, null as null."""
    kinds = set(map(type, cells)) - {type(None)}
    if kinds <= {str}:
        return pl.Series(name, cells, pl.String)
    if kinds <= {bytes}:
        return ("\\x" + pl.Series(name, cells, pl.Binary).bin.encode("hex")).alias(name)
    if kinds <= {datetime}:
        return pl.Series(name, cells).dt.to_string("%Y-%m-%d %H:%M:%S%.6f").str.replace(r"\.000000$", "")
    if kinds <= {date}:
        return pl.Series(name, cells, pl.Date).dt.to_string("%Y-%m-%d")
    # what a driver makes of a rare type (an interval, a decimal): as Python writes it
    return pl.Series(name, [None if cell is None else str(cell) for cell in cells], pl.String)


def _with_offset(moments):
    """Moments of a session whose zone is UTC, saying so; what is none (0000-00-00, infinity) as it stands."""
    return moments.str.replace(r"^([1-9]\d{3}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?)(?:\+00)?$", "$1 +00:00")


def _mysql_arguments(seconds):
    return {"connect_timeout": CONNECT_SECONDS, "read_timeout": seconds, "write_timeout": seconds, "charset": "utf8mb4"}


def _begin_mysql(connection, seconds):
    """A session in UTC: TIMESTAMP columns are moments and come with that offset, DATETIME columns say no zone and have none."""
    from pymysql.constants import FIELD_TYPE

    is_mariadb = connection.dialect.is_mariadb
    limit = f"max_statement_time = {seconds}" if is_mariadb else f"max_execution_time = {seconds * 1000}"
    for setting in (limit, f"lock_wait_timeout = {seconds}", "net_write_timeout = 600", "time_zone = '+00:00'"):
        connection.exec_driver_sql(f"set session {setting}")
    connection.exec_driver_sql("start transaction with consistent snapshot, read only")
    # without its own conversions the driver hands out the server's text: exact decimals, and dates that Python has not
    connection.connection.dbapi_connection.decoders = {FIELD_TYPE.BIT: lambda bits: str(int.from_bytes(bits))}


def _postgresql_arguments(seconds):
    return {
        "connect_timeout": CONNECT_SECONDS,
        "client_encoding": "utf8",
        "keepalives_idle": 30,
        "keepalives_interval": 10,
        "keepalives_count": 3,
        "tcp_user_timeout": 60_000,
        "prepare_threshold": None,
    }


def _begin_postgresql(connection, seconds):
    from psycopg.types.string import TextLoader

    connection.exec_driver_sql("set transaction isolation level repeatable read, read only")
    for setting in (
        f"statement_timeout = {seconds * 1000}",
        f"lock_timeout = {seconds * 1000}",
        "timezone = 'UTC'",
        "datestyle = 'ISO'",
        "intervalstyle = 'iso_8601'",
        "bytea_output = 'hex'",
        "extra_float_digits = 1",
    ):
        connection.exec_driver_sql(f"set local {setting}")
    adapters = connection.connection.dbapi_connection.adapters
    for known in adapters.types:
        for oid in filter(None, (known.oid, known.array_oid)):
            adapters.register_loader(oid, TextLoader)


def _oracle_arguments(seconds):
    return {"tcp_connect_timeout": CONNECT_SECONDS, "retry_count": 0}


def _begin_oracle(connection, seconds):
    raw = connection.connection.dbapi_connection
    raw.call_timeout = seconds * 1000
    raw.outputtypehandler = oracle_text
    connection.exec_driver_sql("alter session set time_zone = 'UTC'")
    # the session's own first statement has opened a transaction
    raw.rollback()
    connection.exec_driver_sql("set transaction read only")


def oracle_text(cursor, metadata):
    """Numbers to their last digit and long texts in one piece, instead of floats and handles to fetch them by."""
    oracledb = importlib.import_module("oracledb")
    wanted = {
        oracledb.DB_TYPE_NUMBER: oracledb.DB_TYPE_VARCHAR,
        oracledb.DB_TYPE_CLOB: oracledb.DB_TYPE_LONG,
        oracledb.DB_TYPE_NCLOB: oracledb.DB_TYPE_LONG_NVARCHAR,
        oracledb.DB_TYPE_BLOB: oracledb.DB_TYPE_LONG_RAW,
    }.get(metadata.type_code)
    return cursor.var(wanted, arraysize=cursor.arraysize) if wanted else None


SESSIONS = {
    "pymysql": (_begin_mysql, _mysql_arguments),
    "psycopg": (_begin_postgresql, _postgresql_arguments),
    "oracledb": (_begin_oracle, _oracle_arguments),
}
