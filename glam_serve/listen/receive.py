"""Associations of known senders, and the files that come by them: a storage class provider for mammograms (PS3.4 B)."""

import hashlib
import logging
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glam.files import flush_folder
from glam.findings import InputError
from glam.reading.header import quiet_pydicom, text
from glam.reading.kind import MG_FOR_PRESENTATION, MG_FOR_PROCESSING
from glam.reading.parse import parse
from glam_serve.listen.limits import (
    REQUEST_S,
    SILENCE_S,
    Budget,
    Limits,
    Nameless,
    Rate,
    Shares,
    bounded_recv,
    takes_place,
)
from glam_serve.listen.worklist import Received, Worklist
from glam_serve.log import where_raised

if TYPE_CHECKING:
    from pynetdicom.ae import ApplicationEntity
    from pynetdicom.events import Event
    from pynetdicom.transport import ThreadedAssociationServer

log = logging.getLogger(__name__)

SUCCESS, OUT_OF_RESOURCES, OTHER_CLASS, NOT_UNDERSTOOD = 0x0000, 0xA700, 0xA900, 0xC000
"""PS3.4 B.2.3."""
LOCAL_LIMIT = (2, 3, 2)
"""Of a refused association: transient, by the provider, too many of them (PS3.8 9.3.4)."""
CLASSES = (MG_FOR_PRESENTATION, MG_FOR_PROCESSING)
UID = re.compile(r"(?=.{1,64}\Z)[0-9]+(\.[0-9]+)*")
AE_TITLE = re.compile(r"(?! *\Z)[ -\[\]-~]{1,16}")
"""PS3.5 6.2: no backslash, no control character."""
INCOMING = "incoming"
"""Folder of files that are being written."""
PDU_BYTES = 1 << 17
"""Largest piece of a message, as senders are told."""


class Receiver:
    """Takes images into a folder and its worklist."""

    def __init__(self, folder: Path, worklist: Worklist, limits: Limits) -> None:
        self._incoming = folder / INCOMING
        self._worklist = worklist
        self._limits = limits
        self._rate = Rate(limits.images_a_minute)
        shutil.rmtree(self._incoming, ignore_errors=True)  # of one that was killed: their senders were told nothing
        self._incoming.mkdir(mode=0o700)

    def store(self, event: "Event") -> int:
        """Return the status of a C-STORE: success when the image is on the disk and in the worklist."""
        sender = str(event.assoc.requestor.ae_title).strip()
        budget_of(event).clear()
        if not self._rate.admit(sender):
            log.warning("an image of %s is refused: over --limits.images-a-minute", sender)
            return OUT_OF_RESOURCES
        request: Any = event.request
        if len(request.DataSet.getbuffer()) > self._limits.file_mb * 1_000_000:
            log.warning("an image of %s is refused: over --limits.file-mb", sender)
            return OUT_OF_RESOURCES
        try:
            return self._keep(event, sender)
        except (OSError, sqlite3.DatabaseError) as error:
            log.error("an image of %s cannot be stored: %s", sender, getattr(error, "strerror", None) or "database")
            return OUT_OF_RESOURCES
        except Exception as error:  # pynetdicom answers with a status of its own, and says it in a log that is off
            log.error("internal_error: %s", where_raised(error))
            raise

    def _keep(self, event: "Event", sender: str) -> int:
        content = event.encoded_dataset()
        uids = _uids(content)
        if uids is None:
            log.warning("an image of %s is refused: its header does not say what it is", sender)
            return NOT_UNDERSTOOD
        study, image, sop_class = uids
        request: Any = event.request
        if sop_class != request.AffectedSOPClassUID or image != request.AffectedSOPInstanceUID:
            return OTHER_CLASS
        received = Received(study, image, sender, len(content), hashlib.sha256(content).hexdigest())
        if self._worklist.has(received):
            log.info("an image of %s came again and is the same", sender)
            return SUCCESS
        self._take(received, content)
        return SUCCESS

    def _take(self, image: Received, content: bytes) -> None:
        """Put an image in place, whole and on the disk, and note it."""
        path = self._worklist.file_of(image.study, image.image)

        def put() -> None:
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700, exist_ok=True)
                flush_folder(path.parent.parent)
            part.replace(path)
            flush_folder(path.parent)

        part = self._incoming / f"{threading.get_ident()}.part"
        try:
            with open(part, "wb", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                rest = memoryview(content)
                while rest:
                    rest = rest[os.write(file.fileno(), rest) :]
                os.fsync(file.fileno())
            self._worklist.add(image, put=put)
        finally:
            part.unlink(missing_ok=True)


def adopt_strays(worklist: Worklist, studies: Path) -> int:
    """Note files that were put in place just before a kill; return how many there were."""
    count = 0
    for path in studies.glob("*/*.dcm"):
        if not worklist.knows(path.parent.name, path.stem):
            content = path.read_bytes()
            sha256 = hashlib.sha256(content).hexdigest()
            worklist.add(Received(path.parent.name, path.stem, "unknown", len(content), sha256))
            count += 1
    return count


def application_entity(title: str, senders: Sequence[str], limits: Limits) -> "ApplicationEntity":
    """Return what answers under a title to known senders, for mammograms and for echoes; ValueError for titles."""
    for name in (title, *senders):
        if not AE_TITLE.fullmatch(name):
            raise ValueError(f"{name!r} is no AE title: 1 to 16 printable ASCII characters without a backslash")
    from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, _config
    from pynetdicom.sop_class import Verification  # pyright: ignore[reportAttributeAccessIssue]

    _config.LOG_HANDLER_LEVEL = "none"  # its handlers print messages, and what is in them
    _config.LOG_REQUEST_IDENTIFIERS = _config.LOG_RESPONSE_IDENTIFIERS = False
    logger = logging.getLogger("pynetdicom")
    logger.setLevel(logging.CRITICAL + 1)

    class Entity(AE):
        """One whose places are taken by those alone who said who they are, and are not on their way out."""

        @property
        def active_associations(self) -> list[Any]:
            return [association for association in super().active_associations if takes_place(association)]

    entity = Entity(title)
    entity.require_calling_aet = list(senders)
    entity.require_called_aet = True
    entity.maximum_associations = limits.associations
    entity.maximum_pdu_size = PDU_BYTES
    entity.network_timeout = SILENCE_S
    entity.acse_timeout = REQUEST_S
    entity.add_supported_context(Verification)
    for sop_class in CLASSES:
        entity.add_supported_context(sop_class, ALL_TRANSFER_SYNTAXES)
    return entity


def start(
    entity: "ApplicationEntity", address: tuple[str, int], receiver: Receiver, limits: Limits
) -> "ThreadedAssociationServer":
    """Listen at an address; OSError where it is taken."""
    from pynetdicom import evt

    most_bytes = 2 * limits.file_mb * 1_000_000
    nameless, shares = Nameless(), Shares(limits.associations_of_one)

    def opened(event: "Event") -> None:
        """Pynetdicom reads as much as a sender says that there is: bound it, and the time it takes."""
        sock: Any = event.assoc.dul.socket
        sock.socket.settimeout(SILENCE_S)
        sock.recv = bounded_recv(sock, budget_of(event), most_bytes)
        nameless.add(sock, budget_of(event))

    def requested(event: "Event") -> None:
        association: Any = event.assoc
        title = str(association.requestor.primitive.calling_ae_title).strip()
        holder = shares.admit(association, {"AE title": title, "address": association.requestor.address})
        if holder is not None:
            log.warning("an association of %r is refused: its %s has its --limits.sender-share", title, holder)
            association.acse.send_reject(*LOCAL_LIMIT)
            association.kill()

    def accepted(event: "Event") -> None:
        budget_of(event).accept()
        log.info("association of %s", str(event.assoc.requestor.ae_title).strip())

    def echoed(event: "Event") -> int:
        budget_of(event).clear()
        return SUCCESS

    def rejected(event: "Event") -> None:
        title = str(event.assoc.requestor.ae_title).strip()
        log.warning("an association of %r is refused: by its AE titles, or there are too many", title)

    handlers: list[Any] = [
        (evt.EVT_CONN_OPEN, opened),
        (evt.EVT_REQUESTED, requested),
        (evt.EVT_ACCEPTED, accepted),
        (evt.EVT_REJECTED, rejected),
        (evt.EVT_C_ECHO, echoed),
        (evt.EVT_C_STORE, receiver.store),
    ]
    server = entity.start_server(address, block=False, evt_handlers=handlers)
    assert server is not None, "it does not block"
    return server


def end(server: "ThreadedAssociationServer") -> None:
    """Take no more associations and end those that are open: the process would wait for as long as one is used."""
    server.shutdown()
    for association in server.active_associations:
        sock: Any = association.dul.socket
        sock.close()


def budget_of(event: "Event") -> Budget:
    """Return the budget of an event's association."""
    association: Any = event.assoc
    with suppress(AttributeError):
        return association.glam_budget
    association.glam_budget = Budget()
    return association.glam_budget


def _uids(content: bytes) -> tuple[str, str, str] | None:
    """Return study, image and class of a file; None where it does not say, or names no place for itself."""
    with quiet_pydicom():
        try:
            dataset = parse(content)
            uids = [text(dataset, name).strip() for name in ("StudyInstanceUID", "SOPInstanceUID", "SOPClassUID")]
        except InputError:
            return None
    return (uids[0], uids[1], uids[2]) if all(map(UID.fullmatch, uids)) else None
