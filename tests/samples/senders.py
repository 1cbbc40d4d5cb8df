"""Senders of images by C-STORE, in this process."""

from pathlib import Path
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import ExplicitVRLittleEndian
from pynetdicom import AE, build_context

from glam.reading.kind import MG_FOR_PRESENTATION

MG = MG_FOR_PRESENTATION
ECHO = "1.2.840.10008.1.1"
SENDER = "MAMMO1"


def associate(
    port: int, *, title: str = SENDER, called: str = "GLAM", contexts: Any = (MG, ECHO), address: str = "127.0.0.1"
) -> Any:
    """`address`: of the sender."""
    entity = AE(title)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    asked = [build_context(name, ExplicitVRLittleEndian) for name in contexts]
    return entity.associate("127.0.0.1", port, contexts=asked, ae_title=called, bind_address=(address, 0))


def send(port: int, *images: Path | Dataset, **options: Any) -> list[int]:
    """Statuses of images sent in one association."""
    association = associate(port, **options)
    assert association.is_established
    sets = [image if isinstance(image, Dataset) else dcmread(image) for image in images]
    statuses = [association.send_c_store(dataset).get("Status", -1) for dataset in sets]
    association.release()
    return statuses
