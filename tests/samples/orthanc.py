"""A real PACS: Debian's Orthanc with its DICOMweb plugin, on free ports, with a user and a password."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROGRAM = shutil.which("Orthanc", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin")))
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
ABSENT = "no Orthanc: apt-get install orthanc orthanc-dicomweb"
USER, PASSWORD = "reader", "s3cret-Pass"
START_S = 20.0


def is_there() -> bool:
    return PROGRAM is not None and PLUGIN.exists()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@dataclass
class Orthanc:
    """A running PACS."""

    port: int
    dicom_port: int
    process: subprocess.Popen = field(repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/dicom-web"

    def ask(self, path: str, body: bytes | None = None, *, method: str | None = None) -> Any:
        pair = b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        headers = {"Authorization": f"Basic {pair}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            return json.loads(answer.read() or b"null")

    def fill(self, files: Sequence[Path | bytes]) -> list[str]:
        """Put files in; return the ids that Orthanc gives them."""
        contents = (file if isinstance(file, bytes) else file.read_bytes() for file in files)
        return [self.ask("/instances", content)["ID"] for content in contents]


@contextmanager
def orthanc(folder: Path, *, port: int | None = None, dicom_port: int | None = None) -> Iterator[Orthanc]:
    """Start a PACS whose files are in a folder, which it may have had before; end it."""
    assert PROGRAM is not None
    port, dicom_port = port or free_port(), dicom_port or free_port()
    folder.mkdir(exist_ok=True)
    configuration = {
        "StorageDirectory": str(folder / "files"),
        "IndexDirectory": str(folder / "files"),
        "HttpPort": port,
        "DicomPort": dicom_port,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with (folder / "log").open("w") as log:
        process = subprocess.Popen([PROGRAM, folder / "orthanc.json"], stdout=log, stderr=log)
        running = Orthanc(port, dicom_port, process)
        try:
            _wait(running)
            yield running
        finally:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()


def _wait(running: Orthanc) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            running.ask("/system")
            return
        except OSError:
            assert running.process.poll() is None, "Orthanc ended at once"
            assert time.monotonic() < end, "Orthanc does not start"
            time.sleep(0.05)
