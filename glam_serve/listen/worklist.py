"""What came and what became of it, in a database beside the studies: a kill loses nothing and doubles nothing.

An image counts when its file is whole in its folder and its row is written; only then is the sender told so.
"""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

DATABASE = "worklist.sqlite"
STUDIES = "studies"
"""Folder with a folder a study."""
RESULT = "result.json"
CLOCK_S = 60.0
"""Further in the future no image came: the clock was set back since, and nobody waits until it is there again."""
State = Literal["receiving", "answered", "failed"]
SCHEMA = """
create table if not exists studies (
  study text primary key, state text not null, last_image real not null, sender text not null,
  answers integer not null default 0, answered_at real, code text not null default ''
);
create table if not exists images (
  study text not null, image text not null, sender text not null, bytes integer not null, sha256 text not null,
  received_at real not null, is_gone integer not null default 0, primary key (study, image)
);
create index if not exists open_studies on studies (last_image) where state = 'receiving';
create index if not exists images_there on images (study) where is_gone = 0;
"""


class Study(NamedTuple):
    """A row of the list."""

    study: str
    state: State
    last_image: float
    """When its newest image came; seconds since 1970, as all times here."""
    sender: str
    """AE title of whoever sent that."""
    answers: int
    """How often the model was asked about it, with an answer or an error for a result."""
    answered_at: float | None
    code: str
    """Of what failed; "": nothing did."""


@dataclass(frozen=True)
class Received:
    """An image whose file is in place."""

    study: str
    image: str
    sender: str
    num_bytes: int
    sha256: str


class Worklist:
    """The list of a folder; threads may share it."""

    def __init__(self, folder: Path, *, writes: bool = True) -> None:
        """ValueError: there is no list, or none that reads."""
        path = folder / DATABASE
        if not writes and not path.exists():
            raise ValueError(f"no worklist at {folder}: name the --out of a glam-serve listen")
        self._folder = folder
        self._lock = threading.Lock()
        try:
            self._database = _opened(path, writes=writes)
        except sqlite3.DatabaseError as error:
            way_out = "run this as its user, or give another --out"
            raise ValueError(f"{path} does not read as a worklist ({error}): {way_out}") from None

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def folder_of(self, study: str) -> Path:
        """Return where the files of a study are."""
        return self._folder / STUDIES / study

    def file_of(self, study: str, image: str) -> Path:
        """Return where an image is, or was."""
        return self.folder_of(study) / f"{image}.dcm"

    def has(self, image: Received) -> bool:
        """Whether the same bytes came before, from whomever, and there is no use for them now.

        There is where the study failed: it is asked about again; and where it is to be answered and they were deleted.
        """
        with self._lock:
            row = self._database.execute(
                "select 1 from images join studies using (study) where image = ? and study = ? and sha256 = ?"
                " and (state = 'answered' or (state = 'receiving' and is_gone = 0))",
                (image.image, image.study, image.sha256),
            ).fetchone()
        return row is not None

    def knows(self, study: str, image: str) -> bool:
        """Whether an image came before, whatever is in it."""
        with self._lock:
            row = self._database.execute(
                "select 1 from images where study = ? and image = ?", (study, image)
            ).fetchone()
        return row is not None

    def add(self, image: Received, *, put: Callable[[], None] = lambda: None) -> None:
        """Note an image; its study is to be answered, again if it was before.

        `put` puts its file in place: here, so that nobody deletes it before it is noted.
        """
        now = time.time()
        values = (image.image, image.study, image.sender, image.num_bytes, image.sha256, now)
        with self._writing() as database:
            put()
            database.execute(
                "insert or replace into images (image, study, sender, bytes, sha256, received_at)"
                " values (?, ?, ?, ?, ?, ?)",
                values,
            )
            database.execute(
                "insert into studies (study, state, last_image, sender) values (?, 'receiving', ?, ?)"
                " on conflict (study) do update"
                " set state = 'receiving', last_image = excluded.last_image, sender = excluded.sender",
                (image.study, now, image.sender),
            )

    def images_of(self, study: str) -> tuple[list[str], int]:
        """Return the images of a study that are there, in the order in which they came, and how many are gone."""
        with self._lock:
            rows = self._database.execute(
                "select image, is_gone from images where study = ? order by received_at, image", (study,)
            ).fetchall()
        return [image for image, is_gone in rows if not is_gone], sum(is_gone for _, is_gone in rows)

    def at_rest(self, *, quiet_s: float) -> list[Study]:
        """Return the studies to be answered whose newest image came so long ago, the oldest first."""
        now = time.time()
        condition = "where state = 'receiving' and (last_image <= ? or last_image > ?) order by last_image"
        return self._studies(condition, now - quiet_s, now + CLOCK_S)

    def studies(self) -> list[Study]:
        """Return every study, in the order of their newest images."""
        return self._studies("order by last_image")

    def close_study(self, study: Study, state: State, code: str) -> bool:
        """Note the result of a study; False where an image came in the meantime: it is to be answered again."""
        with self._writing() as database:
            database.execute(
                "update studies set answers = answers + 1, answered_at = ?, code = ? where study = ?",
                (time.time(), code, study.study),
            )
            changed = database.execute(
                "update studies set state = ? where study = ? and last_image = ?",
                (state, study.study, study.last_image),
            )
        return changed.rowcount == 1

    def done_with_files(self, *, before: float) -> list[Study]:
        """Return the studies that have their results since before a time, and files."""
        return self._studies(
            "where study in (select study from images where is_gone = 0) and state != 'receiving' and answered_at <= ?",
            before,
        )

    def forget_files(self, study: Study) -> int:
        """Delete the images of a study that is still at rest; return how many there were."""
        with self._writing() as database:
            state = database.execute("select state from studies where study = ?", (study.study,)).fetchone()
            if state[0] == "receiving":
                return 0
            rows = database.execute("select image from images where study = ? and not is_gone", (study.study,))
            images = [image for (image,) in rows.fetchall()]
            for image in images:
                self.file_of(study.study, image).unlink(missing_ok=True)
            database.execute("update images set is_gone = 1 where study = ?", (study.study,))
        return len(images)

    def _studies(self, condition: str, *values: float) -> list[Study]:
        columns = ", ".join(Study._fields)
        with self._lock:
            rows = self._database.execute(f"select {columns} from studies {condition}", values).fetchall()
        return [Study(*row) for row in rows]

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """Hold the list for one change, which is on the disk when this returns, or not made at all."""
        with self._lock:
            self._database.execute("begin immediate")
            try:
                yield self._database
                self._database.execute("commit")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("rollback")
                raise


def _opened(path: Path, *, writes: bool) -> sqlite3.Connection:
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=30)
    if writes:
        path.chmod(0o600)
        database.execute("pragma journal_mode=wal")
        database.execute("pragma synchronous=full")
        database.executescript(SCHEMA)
    database.execute("select 1 from studies limit 1")
    return database
