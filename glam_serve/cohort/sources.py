"""Which images a run is asked to embed: those of a manifest, of a folder or of a PACS."""

import sys
import threading
from pathlib import Path

from glam.files import URL
from glam.manifest.table import read_manifest
from glam.store.schema import SALT_FILE, Level
from glam_serve.cohort.embed import Cohort
from glam_serve.cohort.folder import SALT_BYTES, folder_cohort, store_salt
from glam_serve.cohort.progress import Headers
from glam_serve.cohort.remote import check_urls
from glam_serve.pacs.survey import PacsQuery


def cohort_of_manifest(manifest: Path, root: str | None) -> Cohort:
    """Return the images of a manifest. `root`: folder or URL that their paths begin at; None: the manifest's folder."""
    manifest = manifest.absolute()
    if root is None:
        images, folder = read_manifest(manifest), manifest.parent
    else:
        is_url = URL.match(root) is not None
        folder = manifest.parent if is_url else Path(root).absolute()
        images = read_manifest(manifest, root=root if is_url else folder)
    check_urls(images["path"].tolist())
    return Cohort(images=images, root=folder)


def cohort_of_folder(folder: Path, store: Path, stop: threading.Event, *, writes: bool) -> Cohort:
    """Return the mammograms below a folder; InterruptedRun: `stop` was set. `writes`: the store keeps its salt."""
    headers = Headers(sys.stderr, stop)
    try:
        return folder_cohort(folder, store, _salt(store, writes=writes), headers.tell)
    finally:
        headers.end()


def cohort_of_pacs(query: PacsQuery, store: Path, level: Level, stop: threading.Event, *, writes: bool) -> Cohort:
    """Return the mammograms that a PACS has; SourceGoneError: it is gone. The rest as of a folder."""
    from glam_serve.pacs.cohort import pacs_cohort

    return pacs_cohort(query, store, _salt(store, writes=writes), level=level, stop=stop, writes=writes)


def _salt(store: Path, *, writes: bool) -> bytes:
    is_new = not writes and not (store / SALT_FILE).exists()
    return bytes(SALT_BYTES) if is_new else store_salt(store)
