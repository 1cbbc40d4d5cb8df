"""The typed client, and one that a generator makes of the published schema, against a real server."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.client import Client, ServerError
from glam.client_answers import ExamAnswer
from tests.samples.serving import Serve

KEY = "a-key-of-thirty-two-characters-or-more"
MASS = "A mass is present"
FILES = ("L_CC", "L_MLO", "R_CC", "R_MLO")


@pytest.fixture(scope="module")
def client(serve_a_file: Serve, tmp_path_factory: pytest.TempPathFactory) -> Client:
    """Of a server that asks for a key."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    return replace(serve_a_file("--api-keys", str(keys)).client, api_key=KEY)


def close(found: Sequence[float] | None, expected: Sequence[float] | None) -> bool:
    assert found is not None
    assert expected is not None
    return bool(np.allclose(found, expected, atol=1e-5))


@pytest.mark.slow
def test_the_client_shows_its_key_to_the_server_alone(client: Client, mammograms: dict[str, Path]):
    assert client.is_ready()
    assert KEY not in repr(client)
    assert client.predict(cc=mammograms["L_CC"]).laterality == "L"
    with pytest.raises(ServerError) as error:
        replace(client, api_key=None).predict(cc=mammograms["L_CC"])
    assert error.value.status == 401


@pytest.mark.slow
def test_words_and_vectors_come_typed_and_agree_with_the_prediction(client: Client, mammograms: dict[str, Path]):
    breast = client.predict(cc=mammograms["L_CC"], mlo=mammograms["L_MLO"], prompts=[MASS])
    assert breast.embedding is not None
    (words,) = client.zero_shot([MASS], result_id=breast.result_id)
    assert words.laterality == "L"
    assert words.prompts[MASS].similarity == pytest.approx(breast.prompts[MASS].similarity, abs=1e-5)
    (of_set,) = client.zero_shot({"set": "mass-short"}, embeddings=[breast.embedding])
    assert of_set.laterality is None
    assert of_set.prompt_set is not None
    assert of_set.prompt_set.name == "mass-short"
    (text,) = client.embed_texts([MASS])
    assert text.embedding is not None
    similarity = float(np.dot(text.embedding, breast.embedding))
    assert similarity == pytest.approx(breast.prompts[MASS].similarity, abs=1e-4)
    vectors = client.embed_images([*(mammograms[name] for name in FILES), b"no image"])
    assert [f"{image.laterality}_{image.view}" for image in vectors.images] == list(FILES)
    assert close(vectors.images[0].embedding, breast.views["cc"].embedding)
    assert [entry.image for entry in vectors.left_out] == [5]


@pytest.mark.slow
def test_a_job_ends_in_the_answer_of_its_exam_or_in_its_fault(client: Client, mammograms: dict[str, Path]):
    images = [mammograms[name] for name in FILES]
    exam = client.predict_exam(images)
    job = client.submit_exam(images, include=["embedding"])
    later = client.wait_for(job, timeout_s=120)
    assert isinstance(later, ExamAnswer)
    assert close(later.embedding, exam.embedding)
    assert client.job(job).state == "done"
    client.forget(job)
    with pytest.raises(ServerError) as gone:
        client.job(job)
    assert gone.value.code == "no_such_job"
    with pytest.raises(ServerError) as failed:
        client.wait_for(client.submit_exam([b"no image"]), timeout_s=120)
    assert failed.value.code == "no_usable_image"


ROUND_TRIP = """
import sys
from glam_client import Client
from glam_client.api.default import predict, zero_shot
from glam_client.models import PredictForm, ZeroShotRequest
from glam_client.types import File

def file(path):
    return File(payload=open(path, "rb"), file_name="image.dcm", mime_type="application/dicom")

client = Client(base_url=sys.argv[1], timeout=60)
paths = sys.argv[2:]
of_breast = predict.sync(client=client, body=PredictForm(cc=file(paths[0]), mlo=file(paths[1])))
print(of_breast.laterality.value, sorted(of_breast.density.to_dict()))
of_exam = predict.sync(client=client, body=PredictForm(images=[file(path) for path in paths]))
print([(entry.image, entry.laterality.value, entry.view.value) for entry in of_exam.used])
of_words = zero_shot.sync(
    client=client, body=ZeroShotRequest(prompts=["A mass is present"], result_id=of_exam.result_id)
)
print(sorted(entry.laterality.value for entry in of_words.answers))
refused = predict.sync_detailed(client=client, body=PredictForm(cc=file(__file__)))
print(int(refused.status_code), refused.parsed.code)
"""


WITH_KEY = """
import sys
from glam_client import AuthenticatedClient, Client
from glam_client.api.default import predict
from glam_client.api.default import readyz_readyz_get as readyz
from glam_client.models import PredictForm
from glam_client.types import File

url, key, path = sys.argv[1:]
form = PredictForm(cc=File(payload=open(path, "rb"), file_name="image.dcm", mime_type="application/dicom"))
ways = {"token": key}, {"token": key, "auth_header_name": "X-API-Key", "prefix": ""}, {"token": "another key"}
for way in ways:
    form.cc.payload.seek(0)
    answer = predict.sync_detailed(client=AuthenticatedClient(base_url=url, timeout=60, **way), body=form)
    print(int(answer.status_code), type(answer.parsed).__name__)
print(readyz.sync(client=Client(base_url=url)).status)
"""


def generate(url: str, folder: Path) -> None:
    """Make a client of a server's published schema in a folder, without a warning."""
    generator = Path(sys.executable).with_name("openapi-python-client")
    words = ["generate", "--url", f"{url}/openapi.json", "--meta", "none", "--output-path", folder / "glam_client"]
    path = {"PATH": f"{generator.parent}:{os.environ['PATH']}"}  # it formats with ruff
    made = subprocess.run(
        [generator, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | path,
        timeout=300,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    assert "warning" not in (made.stdout + made.stderr).lower()


def printed(script: str, folder: Path, *words: str | Path) -> list[str]:
    """Lines that a script prints, which runs beside the generated client."""
    (folder / "ask.py").write_text(script)
    command = [sys.executable, folder / "ask.py", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_generated_client_uploads_files_and_reads_answers(
    serve: Serve, random_bundle: Bundle, mammograms: dict[str, Path], tmp_path: Path
):
    url = serve().client.url
    generate(url, tmp_path)
    lines = printed(ROUND_TRIP, tmp_path, url, *(mammograms[name] for name in FILES))
    classes = sorted(random_bundle.classes["density"])
    used = [(1, "L", "CC"), (2, "L", "MLO"), (3, "R", "CC"), (4, "R", "MLO")]
    assert lines == [f"L {classes}", str(used), "['L', 'R']", "415 not_dicom"]


@pytest.mark.slow
def test_a_generated_client_sends_its_key_in_either_header(client: Client, mammograms: dict[str, Path], tmp_path: Path):
    generate(client.url, tmp_path)
    lines = printed(WITH_KEY, tmp_path, client.url, KEY, mammograms["L_CC"])
    assert lines == ["200 PredictionBody", "200 PredictionBody", "401 ErrorBody", "ready"]
