"""Real database servers for the tests: those on loopback, else private ones started from this machine's binaries."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

FOUND = {
    "mysql": ("TEST_MYSQL_URL", ["mysql+pymysql://root@127.0.0.1:3306/test"]),
    "postgresql": (
        "TEST_POSTGRESQL_URL",
        ["postgresql+psycopg://root@127.0.0.1:5432/test", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"],
    ),
}
TIMEOUT = {"connect_timeout": 5}


@contextmanager
def server_url(kind: str, folder: Path):
    """The URL of a server of a kind ("mysql", "postgresql"). Skips where there is none and none can be started.

    Where TEST_DATABASES_REQUIRED is set, as in .ci/run, it fails instead.
    """
    variable, usual = FOUND[kind]
    tried = [os.environ[variable]] if variable in os.environ else usual
    for url in tried:
        if _answers(url):
            yield url
            return
    start = {"mysql": _private_mariadb, "postgresql": _private_postgresql}[kind]
    with start(folder) as started:
        if started.startswith(kind):
            yield started
            return
        why = f"no {kind} server answers on loopback or at {variable}, and none could be started: {started}"
        pytest.fail(why) if os.environ.get("TEST_DATABASES_REQUIRED") else pytest.skip(why)


class Server:
    """A server's URL, with an SQL prompt, and tables of random names that are dropped at the end."""

    def __init__(self, url: str):
        self.url, self.tables = url, []
        self.engine = create_engine(url, poolclass=NullPool, connect_args=TIMEOUT, isolation_level="AUTOCOMMIT")

    def run(self, *statements: str):
        """The rows of the last statement, None where it has none."""
        with self.engine.connect() as connection:
            for statement in statements:
                result = connection.exec_driver_sql(statement.replace("%", "%%"))
            return result.fetchall() if result.returns_rows else None

    def table(self, ending: str = "") -> str:
        """A name that no other test uses; the table of that name is dropped when the test ends."""
        self.tables.append(f"t{secrets.token_hex(6)}{ending}")
        return self.tables[-1]

    def quoted(self, name: str) -> str:
        return self.engine.dialect.identifier_preparer.quote_identifier(name).replace("%%", "%")

    def drop_tables(self):
        for name in self.tables:
            self.run(f"drop table if exists {self.quoted(name)}")


def _answers(url):
    with suppress(SQLAlchemyError):
        engine = create_engine(url, poolclass=NullPool, connect_args=TIMEOUT)
        with closing(engine.connect()) as connection:
            connection.exec_driver_sql("select 1")
        return True
    return False


def _free_port():
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@contextmanager
def _private_mariadb(folder):
    """A MariaDB or MySQL of our own; gives its URL, or why there is none."""
    server = shutil.which("mariadbd") or shutil.which("mysqld") or shutil.which("mariadbd", path="/usr/sbin")
    install = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
    if not server or not install:
        yield "mariadbd or mariadb-install-db is not installed"
        return
    data, port = folder / "mariadb", _free_port()
    owner = ["--user=root"] if os.geteuid() == 0 else []
    made = subprocess.run(
        [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", *owner],
        capture_output=True,
    )
    if made.returncode:
        yield f"{install} ended with {made.returncode}"
        return
    command = [server, "--no-defaults", f"--datadir={data}", f"--port={port}", f"--socket={folder}/mariadb.sock"]
    url = f"mysql+pymysql://root@127.0.0.1:{port}/test"
    with _running([*command, "--bind-address=127.0.0.1", *owner], url.replace("/test", "/mysql"), {}) as why:
        if not why:
            Server(url.replace("/test", "/mysql")).run("create database if not exists test")
        yield why or url


@contextmanager
def _private_postgresql(folder):
    """A PostgreSQL of our own; gives its URL, or why there is none."""
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), *Path("/usr/pgsql").glob("*/bin")]
    path = os.pathsep.join([os.environ["PATH"], *map(str, sorted(places, reverse=True))])
    server, initdb = shutil.which("postgres", path=path), shutil.which("initdb", path=path)
    if not server or not initdb:
        yield "postgres or initdb is not installed"
        return
    port = _free_port()
    with tempfile.TemporaryDirectory() as data:
        # it refuses to run as root, and its user cannot enter the folders of pytest
        owner = {"user": "postgres", "group": "postgres", "cwd": data} if os.geteuid() == 0 else {}
        if owner:
            shutil.chown(data, "postgres")
        initialised = [initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(initialised, capture_output=True, **owner)
        if made.returncode:
            yield f"{initdb} ended with {made.returncode}"
            return
        command = [server, "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", data]
        url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
        with _running(command, url, owner) as why:
            yield why or url


@contextmanager
def _running(command, url, owner):
    """A server for as long as the tests need it; gives None once it answers, or why it does not."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **owner)
    try:
        for _ in range(60):
            if process.poll() is not None or _answers(url):
                break
            time.sleep(1)
        yield None if _answers(url) else f"{command[0]} did not answer (it ended with {process.poll()})"
    finally:
        # PostgreSQL waits for its clients at SIGTERM, MariaDB does not listen to SIGINT
        process.send_signal(signal.SIGINT if "postgres" in Path(command[0]).name else signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        process.kill()
        process.wait()
