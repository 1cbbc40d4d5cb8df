"""Images of a PACS, whole and in memory, in the process that reads them: nothing of them is ever on a disk."""

import threading
import time
from dataclasses import dataclass
from functools import cache, partial

from glam.config import FrameConfig
from glam.findings import InputError
from glam.reading.header import quiet_pydicom, text
from glam.reading.parse import parse
from glam.reading.source import OwnBytes
from glam_serve.cohort.items import ImageRow, Item, PreparedItem, read_item
from glam_serve.pacs.access import PacsAccess
from glam_serve.pacs.answer import Answer, Patience
from glam_serve.pacs.connection import Connection
from glam_serve.pacs.multipart import NotOneFileError, NotWholeError, only_file
from glam_serve.pacs.troubles import PacsRefusal, spoiled

PLAIN = 'multipart/related; type="application/dicom"'
AS_STORED = f"{PLAIN}; transfer-syntax=*"
"""What a service would have to transcode, many cannot; older ones refuse the parameter (dcm4chee-arc-light #1715)."""


@dataclass(frozen=True, kw_only=True)
class PacsItems:
    """What a process does with an item of a PACS: fetches its images, reads and prepares them."""

    access: PacsAccess
    config: FrameConfig
    timeout_s: float
    """Longest time for fetching the images of an item, with everything that is tried again."""

    def __call__(self, item: Item) -> PreparedItem:
        """Return what reading and preparing an item gives; SourceGoneError where the PACS is gone."""
        patience = Patience(deadline=time.monotonic() + self.timeout_s, stop=threading.Event())
        return read_item(item, self.config, partial(fetched, _connection(self.access), patience))


@cache
def _connection(access: PacsAccess) -> Connection:
    """Return the connection of this process."""
    return Connection(access)


def fetched(connection: Connection, patience: Patience, image: ImageRow) -> OwnBytes:
    """Return the file of an image; `path` is its place below the address of the service."""
    try:
        content = connection.ask(image.path, _file, accept=AS_STORED, patience=patience)
    except PacsRefusal as error:
        if error.code != "pacs_refused":
            raise
        content = connection.ask(image.path, _file, accept=PLAIN, patience=patience)
    with quiet_pydicom():
        try:
            uid = text(parse(content), "SOPInstanceUID").strip()
        except InputError:
            return content  # whoever reads it says what is wrong with it
    if uid != image.path.rpartition("/")[2]:
        raise PacsRefusal("pacs_other_image")
    return content


def _file(answer: Answer) -> OwnBytes:
    if answer.status == 204 or not answer.body:
        raise spoiled("pacs_malformed")
    try:
        return only_file(answer.body, answer.content_type)
    except NotWholeError:
        raise spoiled("pacs_cut") from None
    except NotOneFileError:
        raise spoiled("pacs_malformed") from None
