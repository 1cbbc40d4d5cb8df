"""What clients send: good mammograms of several kinds, and files and forms that are wrong in known ways."""

import io
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from pydicom import uid

from glam.findings import CODES
from glam_serve.errors import FAULTS
from tests.samples.forms import Form, Outcome, ask, ask_for, form
from tests.samples.mammograms import file_of, noisy_values, picture_files

BAD_SHARE = 0.1
SENTENCES = ["A mass is present", "No finding"]
Step = Callable[[int, Any, float], Outcome]
"""What is asked next, of a port, with the body of the answer before, and how long is waited for it in seconds."""


class Sample(NamedTuple):
    """A request, what its sender asks next where it is answered, and whether the answers are to be good ones."""

    name: str
    form: Form
    is_good: bool
    path: str = "/predict"
    then: Step | None = None

    def send(self, port: int, *, timeout_s: float) -> Outcome:
        """Ask, and ask on; how the last request ended, after the time of the slowest."""
        first = ask(port, self.form, timeout_s=timeout_s, path=self.path)
        if self.then is None or first.status not in (200, 202):
            return first
        last = self.then(port, json.loads(first.body), timeout_s)
        return last._replace(seconds=max(first.seconds, last.seconds))


def phantom_files(folder: Path) -> dict[str, Path]:
    """Write the four phantom mammograms of an exam: "L_CC", "L_MLO", "R_CC", "R_MLO"."""
    from glam.phantom.exam import write_exams

    write_exams(folder, num_exams=1, seed=11)
    return {path.stem: path for path in folder.rglob("*.dcm")}


def good_samples(files: dict[str, Path]) -> list[Sample]:
    """Requests that are answered: one view, a pair, prompts, a whole exam; uncompressed files and compressed ones."""
    data = {name: path.read_bytes() for name, path in files.items()}
    forms = {
        "cc": form({"cc": data["L_CC"]}),
        "mlo": form({"mlo": data["R_MLO"]}),
        "pair": form({"cc": data["L_CC"], "mlo": data["L_MLO"]}),
        "prompts": form({"cc": data["R_CC"]}, {"prompts": "A mass is present", "include": "findings"}),
        "exam": form({"images": list(data.values())}),
    }
    syntaxes = {"rle": uid.RLELossless, "jpeg 2000": uid.JPEG2000Lossless, "jpeg": uid.JPEGBaseline8Bit}
    forms |= {name: form({"cc": file_of(noisy_values(syntax), syntax)}) for name, syntax in syntaxes.items()}
    samples = [Sample(name, sent, True) for name, sent in forms.items()]
    pair = forms["pair"]
    return [
        *samples,
        Sample("embed image", form({"images": [data["L_CC"], data["R_CC"]]}), True, "/v1/embed/image", hold_words),
        Sample("embed text", json_form({"texts": SENTENCES}), True, "/v1/embed/text", hold_vectors),
        Sample("words afterwards", pair, True, "/v1/predict", hold_words),
        Sample("similar", pair, True, "/v1/predict", look_for_similar),
        Sample("job", pair, True, "/v1/jobs", fetch_job),
    ]


def json_form(sent: object) -> Form:
    """A body of JSON."""
    return Form("application/json", json.dumps(sent).encode())


def hold_words(port: int, answer: Any, timeout_s: float) -> Outcome:
    """Words against an answer given."""
    asked = {"result_id": answer["result_id"], "prompts": SENTENCES}
    return ask(port, json_form(asked), timeout_s=timeout_s, path="/v1/zero-shot")


def hold_vectors(port: int, answer: Any, timeout_s: float) -> Outcome:
    """Words against vectors given."""
    asked = {
        "embeddings": [text["embedding"] for text in answer["texts"]],
        "prompts": {"classes": {"mass": SENTENCES[:1], "none": SENTENCES[1:]}},
    }
    return ask(port, json_form(asked), timeout_s=timeout_s, path="/v1/zero-shot")


def look_for_similar(port: int, answer: Any, timeout_s: float) -> Outcome:
    """Rows of the server's store that are like an answer given."""
    return ask(port, json_form({"result_id": answer["result_id"], "k": 2}), timeout_s=timeout_s, path="/v1/similar")


def fetch_job(port: int, answer: Any, timeout_s: float) -> Outcome:
    """A job's answer, or its error as another path would give it, asked for until it is there; -1: not in time.

    A job that is done is forgotten then.
    """
    path, until = f"/v1/jobs/{answer['job_id']}", time.monotonic() + timeout_s
    while time.monotonic() < until:
        outcome = ask_for(port, path, timeout_s=timeout_s)
        if outcome.status != 200:
            return outcome
        match json.loads(outcome.body)["state"]:
            case "done":
                forgotten = ask_for(port, path, timeout_s=timeout_s, method="DELETE")
                return outcome if forgotten.status == 204 else forgotten
            case "failed":
                error = json.loads(outcome.body)["error"]
                status = (CODES.get(error["code"]) or FAULTS[error["code"]]).status
                return outcome._replace(status=status, body=json.dumps(error).encode())
        time.sleep(0.1)
    return Outcome(-1, timeout_s)


BAD_FIELDS = {
    "spacing": {"spacing_mm": "wide"},
    "side": {"laterality": "left"},
    "field": {"patient": "x"},
    "include": {"include": "pixels"},
    "prompt": {"prompts": "a mass " * 200},
}
"""Fields that are refused beside a file that is not."""


def bad_samples(files: dict[str, Path]) -> list[Sample]:
    """Requests that are refused with a 4xx."""
    contents, small = bad_contents(files["L_CC"].read_bytes()), file_of()
    samples = [Sample(name, form({"cc": content}), False) for name, content in contents.items()]
    samples += [Sample(name, form({"cc": small}, fields), False) for name, fields in BAD_FIELDS.items()]
    samples += bad_forms(small) + bad_bodies()
    samples += [
        Sample("job of a text", form({"cc": contents["text"]}), False, "/v1/jobs", fetch_job),
        Sample("vector of a document", form({"images": contents["document"]}), False, "/v1/embed/image"),
    ]
    return samples


def bad_contents(whole: bytes) -> dict[str, bytes]:
    """Files that are refused, by what is wrong with them; `whole`: one that is not, which some are cut from."""
    small = file_of()
    contents = {
        "empty": b"",
        "text": b"hello",
        "zip": b"PK\x03\x04" + bytes(500),
        "cut head": whole[:300],
        "cut 500": whole[:500],
        "cut half": whole[: len(whole) // 2],
        "document": file_of(SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1"),
        "ct": file_of(Modality="CT", SOPClassUID="1.2.840.10008.5.1.4.1.1.2"),
        "for processing": file_of(PresentationIntentType="FOR PROCESSING"),
        "frames": file_of(NumberOfFrames=2),
        "other view": file_of(ViewPosition="MLO"),
        "no pixels": file_of(PixelData=None),
        "broken jpeg 2000": file_of(syntax=uid.JPEG2000Lossless).replace(b"\xff\x4f\xff\x51", b"\xff\x4f\xff\x00"),
        "picture": picture_files()[0],
        "report": file_of(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11"),
        "tomosynthesis": file_of(SOPClassUID="1.2.840.10008.5.1.4.1.1.13.1.3"),
        "colour": file_of(PhotometricInterpretation="RGB"),
        "no bits": file_of(BitsStored=0),
        "no side": file_of(ImageLaterality=""),
        "no breast": file_of(np.zeros((64, 48), np.uint16)),
        "too large": file_of(Rows=60000, Columns=60000),
        "unknown syntax": small.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"),
    }
    broken = bytearray(small)
    broken[200:260] = random.Random(0).randbytes(60)
    contents["noise in the header"] = bytes(broken)
    return contents


def bad_forms(small: bytes) -> list[Sample]:
    """Forms that are refused although each file, or each field, could be read by itself."""
    pairs = {
        "other side": file_of(ViewPosition="MLO", ImageLaterality="R"),
        "other patient": file_of(ViewPosition="MLO", PatientID="another"),
        "other study": file_of(ViewPosition="MLO", StudyInstanceUID="1.2.3"),
    }
    samples = [Sample(name, form({"cc": small, "mlo": other}), False) for name, other in pairs.items()]
    exams = {"nothing of use": [small[:300]], "another view": [file_of(ViewPosition="ML")], "nine files": [small] * 9}
    samples += [Sample(name, form({"images": images}), False) for name, images in exams.items()]
    samples.append(Sample("twice", form({"cc": [small, small]}), False))
    samples.append(Sample("words alone", form({}, {"prompts": "A mass is present"}), False))
    samples.append(Sample("colour picture", form({"cc": coloured_picture()}, {"laterality": "L"}), False))
    return samples


def bad_bodies() -> list[Sample]:
    """Bodies that are no form, or say what cannot be."""
    no_result = json_form({"result_id": "none", "prompts": SENTENCES})
    short = json_form({"embeddings": [[1.0, 0.0]], "prompts": SENTENCES})
    cut = Form("multipart/form-data; boundary=b", b"--b\r\nContent-Disp")
    return [
        Sample("no such result", no_result, False, "/v1/zero-shot"),
        Sample("no such result, similar", json_form({"result_id": "none"}), False, "/v1/similar"),
        Sample("short vectors", short, False, "/v1/zero-shot"),
        Sample("not JSON", Form("application/json", b"{"), False, "/v1/embed/text"),
        Sample("not a form", Form("application/json", b"{}"), False),
        Sample("cut form", cut, False),
    ]


def coloured_picture() -> bytes:
    """A JPEG of four inks."""
    buffer = io.BytesIO()
    Image.new("CMYK", (64, 48), (200, 30, 30, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def mixture(files: dict[str, Path], *, seed: int) -> "Mixture":
    """An endless mixture of good and bad requests."""
    return Mixture(good_samples(files), bad_samples(files), random.Random(seed))


class Mixture:
    """Requests at random, BAD_SHARE of them bad."""

    def __init__(self, good: list[Sample], bad: list[Sample], chance: random.Random) -> None:
        self.good = good
        self.bad = bad
        self.chance = chance

    def next(self) -> Sample:
        """The next request."""
        return self.chance.choice(self.bad if self.chance.random() < BAD_SHARE else self.good)
