"""The store: ``task.db`` and everything that is SQLite's own — pragmas, locks, triggers, checkpoints.

Nothing else opens the file: one plain ``open`` and ``close`` of it inside a process drops SQLite's locks, and the
next process to close it deletes a live write-ahead log.
"""

import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from peewee import OperationalError, PeeweeException, SqliteDatabase
from playhouse.migrations import Runner

from dashboard.i18n import gettext
from dashboard.models import MODELS, Meta
from dashboard.models.complaints import busy, damaged, explain, read_only
from dashboard.models.expressions import FUNCTIONS
from dashboard.models.store_files import PARTS, file_uri, has_log, place, set_aside_orphans

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
APPLICATION_ID = 0x44534849  # "DSHI": tells our file from another program's, and from an empty one
BUSY_SECONDS = 5.0
PRAGMAS = [  # none writes: a file that is not ours stays as it is; create() and open() set the journal mode
    ("synchronous", "full"),  # NORMAL would lose acknowledged commits in a power cut
    ("foreign_keys", 1),
    ("wal_autocheckpoint", 0),  # ours run under the write lock, see checkpoint()
    ("query_only", 1),
]
_BUMP = "UPDATE revision SET value = value + 1 WHERE id = 1;"
_STAMP = "UPDATE task SET revision = (SELECT value FROM revision WHERE id = 1) WHERE key = NEW.key;"
TRIGGERS = {
    "task_inserted": f"AFTER INSERT ON task BEGIN {_BUMP} {_STAMP} END",
    "task_changed": "AFTER UPDATE OF trigger, params, options, paused, anchor_at ON task "
    f"BEGIN {_BUMP} {_STAMP} END",
    "task_deleted": "AFTER DELETE ON task BEGIN "
    "UPDATE revision SET value = value + 1, deletions = deletions + 1 WHERE id = 1; END",
    "run_requested": "AFTER INSERT ON task_log WHEN NEW.result = 'queued' AND NEW.cause IN ('manual', 'chain') "
    f"BEGIN {_BUMP} END",
    "stop_requested": f"AFTER UPDATE OF stop_requested_at ON task_log BEGIN {_BUMP} END",
}


class Store:
    """One SQLite file, opened for life. Threads get a connection each; ``reading`` and ``writing`` manage it.

    The models are bound to the store opened last in this process. ``busy_seconds``: how long a write waits, for
    this process's other threads and for other programs together. ``looking``: nothing is written, neither to the
    file nor beside it; not for a log that its writer left behind, which must be copied first.
    """

    def __init__(self, path: Path, busy_seconds: float = BUSY_SECONDS, *, looking: bool = False) -> None:
        self.path = path
        self.busy_seconds = busy_seconds
        self.looking = looking
        self.database = self._database(path, ("ro" if has_log(path) else "closed") if looking else "rw")
        self._write_lock = threading.RLock()

    def _database(self, path: Path, mode: str) -> SqliteDatabase:
        database = SqliteDatabase(file_uri(path, mode), uri=True, pragmas=PRAGMAS, lock_type="IMMEDIATE",
                                  timeout=self.busy_seconds, autoconnect=False)
        for name, function in FUNCTIONS.items():
            database.register_function(function, name)
        return database

    def create(self) -> None:
        """Makes a new, migrated store. It appears under its name complete or not at all; a file that has the name
        already (another process was quicker) is left alone.

        Raises StoreReadOnly where the folder cannot be written.
        """
        fresh = self.path.with_name(f"{self.path.name}.new-{uuid.uuid4().hex}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            database = self._database(fresh, "rwc")
            with database.bind_ctx(MODELS), database.connection_context():
                database.pragma("query_only", 0)
                database.pragma("journal_mode", "wal")
                database.pragma("application_id", APPLICATION_ID)
                _migrate(database)
                Meta.create(name="store_id", value=uuid.uuid4().hex)
            set_aside_orphans(self.path)
            place(fresh, self.path)
        except (OSError, OperationalError) as error:
            raise read_only(self.path, str(error)) from error
        finally:
            with suppress(OSError):
                for rest in PARTS:
                    fresh.with_name(fresh.name + rest).unlink(missing_ok=True)

    def open(self, *, check: bool = False) -> None:
        """Binds the models and keeps one connection open for life (closing the last one checkpoints each time).

        Raises StoreDamaged for an empty, foreign or damaged file (``check``: every page is looked at),
        StoreReadOnly where not even reading works.
        """
        self.database.bind(MODELS)
        try:
            with self._told():
                self.database.connect(reuse_if_open=True)
                found = self.database.pragma("application_id")
            if found != APPLICATION_ID:
                raise damaged(self.path, gettext("it is empty or belongs to another program"))
            if not self.looking and self.database.pragma("journal_mode") != "wal":  # a copy is in another mode
                with self._told(), self._alone():
                    self.database.pragma("journal_mode", "wal")
            if check:
                self.check()
        except BaseException:
            self.close()
            raise

    def check(self) -> None:
        """Looks at every page. Raises StoreDamaged with what SQLite said."""
        with self.reading():
            said = self.database.execute_sql("PRAGMA quick_check").fetchall()
        if said != [("ok",)]:
            raise damaged(self.path, "; ".join(str(row[0]) for row in said[:3]))

    def close(self) -> None:
        """Closes this thread's connection; the last one of all processes checkpoints. From the opening thread."""
        self.database.close()

    def pending(self) -> list[str]:
        """Names of the migrations that this store still lacks."""
        with self.reading():
            return [m.name for m in Runner(self.database, str(MIGRATIONS)).status() if m.path and not m.applied]

    def newer(self) -> list[str]:
        """Names of its migrations that this program does not know: a newer one made them."""
        with self.reading():
            return [m.name for m in Runner(self.database, str(MIGRATIONS)).status() if not m.path]

    def migrate(self) -> list[str]:
        """Applies what is pending. The caller holds the instance lock: four at once would crash three."""
        with self.reading(), self._alone():
            return _migrate(self.database)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A connection for this thread; writing through it is refused by SQLite."""
        with self._told():
            opened = self.database.connect(reuse_if_open=True)
            try:
                yield
            finally:
                if opened:
                    self.database.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One IMMEDIATE transaction, committed at the end. Nested: part of the outer one.

        Raises StoreBusy, StoreReadOnly, StoreDamaged; nothing is changed then.
        """
        with self.reading():
            if self.database.in_transaction():
                yield
                return
            with self._alone(), self.database.atomic():
                yield

    def probe(self) -> None:
        """Writes a row: BEGIN IMMEDIATE alone succeeds on a read-only file."""
        self.note("probe", uuid.uuid4().hex)

    def meta(self, name: str) -> str:
        """A fact about this store, '' if there is none of that name."""
        with self.reading():
            row = Meta.get_or_none(Meta.name == name)
        return row.value if row else ""

    def note(self, name: str, value: str) -> None:
        """Keeps a fact about this store."""
        with self.writing():
            Meta.insert(name=name, value=value).on_conflict_replace().execute()

    def checkpoint(self) -> None:
        """Moves the write-ahead log into the file while the write lock is held: a commit that races a
        checkpoint can damage the file in SQLite before 3.51.3."""
        helper = self._database(self.path, "rw")
        with self.writing(), helper.connection_context():
            helper.pragma("query_only", 0)
            helper.execute_sql("PRAGMA wal_checkpoint(PASSIVE)")
        helper.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The only thread of this process that writes; waiting for it counts against the busy time-out."""
        deadline = time.monotonic() + self.busy_seconds
        if not self._write_lock.acquire(timeout=self.busy_seconds):
            raise busy(self.path)
        try:
            left = max(0.001, deadline - time.monotonic())
            self.database.pragma("busy_timeout", int(left * 1000))
            self.database.pragma("query_only", 0)
            try:
                yield
            finally:
                self.database.pragma("query_only", 1)
        finally:
            self._write_lock.release()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (PeeweeException, sqlite3.Error) as error:  # Peewee lets pass what comes while rows are fetched
            told = explain(error, self.path)
            if told is None:
                raise
            raise told from error


def _migrate(database: SqliteDatabase) -> list[str]:
    names = list(Runner(database, str(MIGRATIONS)).up())
    with database.atomic():
        for name, body in TRIGGERS.items():
            database.execute_sql(f"DROP TRIGGER IF EXISTS {name}")
            database.execute_sql(f"CREATE TRIGGER {name} {body}")
    return names
