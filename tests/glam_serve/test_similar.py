"""`POST /v1/similar`: cases of the server's store like an earlier answer or like vectors, and none of its patient."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from glam.bundle import Bundle
from glam.client_vectors import similar_answer
from glam.predict import Predictor
from glam.store.index import write_index
from glam.store.opening import open_vectors
from glam.store.read import read_rows, vectors
from glam.store.schema import StoreError
from glam_serve.cohort.run_command import Run
from glam_serve.limits import ServerOptions
from glam_serve.vector_schema import SimilarBody
from tests.samples.cohorts import rows_of
from tests.samples.served import PROXY, Served, error_of, serve_in_process
from tests.samples.stores import write_store


@pytest.fixture(scope="module")
def served(random_bundle: Bundle, predictor: Predictor, whole: Path) -> Served:
    """A server of the store of all phantoms, a breast a row."""
    return serve_in_process(random_bundle, predictor, options=ServerOptions(store=whole))


def pair_of(phantoms: Path, row: int) -> list[dict[str, str]]:
    """The manifest's rows of the breast that one of them is of."""
    rows = rows_of(phantoms)
    return [
        one for one in rows if (one["exam_id"], one["laterality"]) == (rows[row]["exam_id"], rows[row]["laterality"])
    ]


def result_of(served: Served, rows: list[dict[str, str]]) -> str:
    """Ask about a breast; return the name of the answer."""
    files = [(row["view"].lower(), ("x.dcm", Path(row["path"]).read_bytes())) for row in rows]
    return served.post("/predict", files=files).json()["result_id"]


def ask(served: Served, **asked: Any) -> dict[str, Any]:
    answer = served.post("/v1/similar", json=asked)
    assert answer.status_code == 200, answer.text
    SimilarBody.model_validate(answer.json())
    return answer.json()


def keys(entry: dict[str, Any]) -> list[tuple[str, str]]:
    return [(hit["exam_id"], hit["laterality"]) for hit in entry["hits"]]


def test_an_earlier_answer_has_its_like_among_other_patients(served: Served, whole: Path, phantoms: Path):
    rows = pair_of(phantoms, 0)
    own = (rows[0]["exam_id"], rows[0]["laterality"])
    answer = ask(served, result_id=result_of(served, rows), k=100)
    table = read_rows(whole, ["exam_id", "laterality", "patient_id", "embedding"])
    names = list(
        zip(*(table.column(name).to_pylist() for name in ("exam_id", "laterality", "patient_id")), strict=True)
    )
    likeness = vectors(table) @ vectors(table)[names.index((*own, rows[0]["patient_id"]))]
    expected = [names[place] for place in np.argsort(-likeness) if names[place][2] != rows[0]["patient_id"]]
    (entry,) = answer["answers"]
    assert keys(entry) == [name[:2] for name in expected]
    assert answer["exact"] is True
    assert entry["laterality"] == own[1]
    assert (answer["patient_known"], answer["store"]) == (True, {"level": "breast", "rows": table.num_rows})
    everybody = ask(served, result_id=result_of(served, rows), k=1, same_patient=True)
    assert keys(everybody["answers"][0]) == [own]
    assert everybody["answers"][0]["hits"][0]["likeness"] == pytest.approx(1, abs=1e-4)


def test_each_breast_of_an_exam_has_its_own_cases(served: Served, phantoms: Path):
    exam = rows_of(phantoms)[0]["exam_id"]
    files = [
        ("images", ("x.dcm", Path(row["path"]).read_bytes())) for row in rows_of(phantoms) if row["exam_id"] == exam
    ]
    answer = ask(served, result_id=served.post("/predict", files=files).json()["result_id"], k=2, same_patient=True)
    assert [(entry["laterality"], keys(entry)[0]) for entry in answer["answers"]] == [
        ("L", (exam, "L")),
        ("R", (exam, "R")),
    ]


def test_each_image_of_an_answer_has_its_own_cases_and_says_which_view_it_is(
    random_bundle: Bundle, predictor: Predictor, embed: Callable[..., int], phantoms: Path, tmp_path: Path
):
    store = tmp_path / "images"
    assert embed(phantoms / "manifest.csv", store, level="image") == 0
    served = serve_in_process(random_bundle, predictor, options=ServerOptions(store=store))
    rows = pair_of(phantoms, 0)
    views = {row["image_id"]: (row["laterality"], row["view"]) for row in rows}
    lone = [row for row in rows if row["view"] == "MLO"]
    sent = [("images", ("x.dcm", Path(row["path"]).read_bytes())) for row in rows]
    results = [(rows, result_of(served, rows)), (lone, result_of(served, lone))]
    results.append((rows, served.post("/v1/embed/image", files=sent).json()["result_id"]))
    for asked, result_id in results:
        answer = ask(served, result_id=result_id, k=1, same_patient=True)
        entries = [(entry["laterality"], entry["view"]) for entry in answer["answers"]]
        assert sorted(entries) == sorted((row["laterality"], row["view"]) for row in asked)
        assert [views[entry["hits"][0]["image_id"]] for entry in answer["answers"]] == entries
        assert [entry["hits"][0]["view"] for entry in answer["answers"]] == [view for _, view in entries]
        assert [(typed.laterality, typed.view) for typed in similar_answer(answer).answers] == entries
    (of_vector,) = ask(served, embeddings=vectors(read_rows(store, ["embedding"]))[:1].tolist())["answers"]
    assert of_vector["view"] is None


def test_vectors_that_are_sent_have_their_like_and_no_patient(served: Served, whole: Path):
    table = read_rows(whole, ["exam_id", "laterality", "embedding"])
    sent = (2.5 * vectors(table)[:2]).tolist()
    answer = ask(served, embeddings=sent, k=1)
    assert [keys(entry)[0] for entry in answer["answers"]] == [
        (table.column("exam_id")[place].as_py(), table.column("laterality")[place].as_py()) for place in (0, 1)
    ]
    assert answer["patient_known"] is False
    typed = similar_answer(answer)
    assert typed.answers[1].cases[0].view is None
    assert typed.answers[1].cases[0].exam_id == table.column("exam_id")[1].as_py()
    assert (typed.level, typed.rows) == ("breast", table.num_rows)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (422, "bad_field", "")),
        ({"result_id": "x", "embeddings": [[1.0]]}, (422, "bad_field", "")),
        ({"result_id": "x", "k": 0}, (422, "bad_field", "k")),
        ({"result_id": "x", "k": 101}, (422, "bad_field", "k")),
        ({"result_id": "x", "k": "many"}, (422, "bad_field", "k")),
        ({"embeddings": [[1.0]]}, (422, "bad_field", "embeddings")),
        ({"result_id": "gone"}, (404, "no_such_result", "")),
    ],
)
def test_what_cannot_be_looked_for_is_refused(served: Served, asked: dict[str, Any], expected: tuple[int, str, str]):
    assert error_of(served.post("/v1/similar", json=asked)) == expected


def test_very_large_and_very_small_vectors_have_a_direction_too(served: Served, whole: Path):
    vector = vectors(read_rows(whole, ["embedding"]))[:1].astype(np.float64)
    expected = ask(served, embeddings=vector.tolist())["answers"]
    for scale in (1e300, 1e-300):
        assert ask(served, embeddings=(scale * vector).tolist())["answers"] == expected


def test_cases_for_many_vectors_are_told_in_their_order(served: Served, whole: Path):
    table = read_rows(whole, ["exam_id", "laterality", "embedding"])
    places = [place % table.num_rows for place in range(256)]
    answer = ask(served, embeddings=vectors(table)[places].tolist(), k=1)
    assert [keys(entry)[0] for entry in answer["answers"]] == [
        (table.column("exam_id")[place].as_py(), table.column("laterality")[place].as_py()) for place in places
    ]


def test_a_store_that_is_cut_changed_or_gone_is_a_503_and_names_its_file_to_the_operator(
    random_bundle: Bundle,
    predictor: Predictor,
    whole: Path,
    phantoms: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    store = tmp_path / "store"
    shutil.copytree(whole, store)
    part = store / "part-000000.parquet"
    content = part.read_bytes()
    served = serve_in_process(random_bundle, predictor, options=ServerOptions(store=store))
    asked = {"result_id": result_of(served, pair_of(phantoms, 0)), "k": 100, "same_patient": True}
    expected = ask(served, **asked)["answers"]
    for change in (
        lambda: part.write_bytes(content[:500]),
        lambda: part.write_bytes((store / "part-000001.parquet").read_bytes()),
        part.unlink,
    ):
        change()
        caplog.clear()
        assert error_of(served.post("/v1/similar", json=asked)) == (503, "store_unreadable", "")
        assert str(part) in caplog.text
        part.write_bytes(content)
        assert ask(served, **asked)["answers"] == expected
    shutil.rmtree(store)
    assert error_of(served.post("/v1/similar", json=asked)) == (503, "store_unreadable", "")
    assert result_of(served, pair_of(phantoms, 0))


def test_a_server_without_a_store_says_so(client: Served):
    assert error_of(client.post("/v1/similar", json={"result_id": "x"})) == (404, "no_store", "")
    assert client.get("/v1/model").json()["store"] is None


def test_a_store_is_told_of_and_nothing_of_where_its_images_are(served: Served, whole: Path, phantoms: Path):
    assert served.get("/v1/model").json()["store"] == {
        "level": "breast",
        "rows": read_rows(whole, ["exam_id"]).num_rows,
    }
    answer = served.post("/v1/similar", json={"result_id": result_of(served, pair_of(phantoms, 0)), "k": 100})
    assert ".dcm" not in answer.text
    assert str(phantoms) not in answer.text


def test_of_a_folders_images_the_view_is_told_and_no_path(
    random_bundle: Bundle, predictor: Predictor, phantoms: Path, tmp_path: Path
):
    (tmp_path / "DOE JANE").mkdir()
    for row in pair_of(phantoms, 0):
        (tmp_path / "DOE JANE" / f"{row['view']}.dcm").symlink_to(row["path"])
    store = tmp_path / "store"
    command = Run(folder=tmp_path, out=store, bundle=random_bundle.folder, level="image", threads=1)
    assert command.run() == 0
    served = serve_in_process(random_bundle, predictor, options=ServerOptions(store=store))
    answer = served.post("/v1/similar", json={"embeddings": vectors(read_rows(store, ["embedding"])).tolist()})
    assert {hit["view"] for entry in answer.json()["answers"] for hit in entry["hits"]} == {"CC", "MLO"}
    assert "DOE" not in answer.text


def test_chosen_vectors_do_not_read_out_what_must_stay(
    kept_bundle: Bundle, predictor: Predictor, embed: Callable[..., int], phantoms: Path, tmp_path: Path
):
    store = tmp_path / "kept"
    assert embed(phantoms / "manifest.csv", store, bundle=kept_bundle.folder) == 0
    served = serve_in_process(kept_bundle, predictor, host="127.0.0.1", options=ServerOptions(store=store))
    vector = vectors(read_rows(store, ["embedding"]))[:1].tolist()
    assert served.post("/v1/similar", json={"embeddings": vector}).status_code == 200
    assert error_of(served.post("/v1/similar", json={"embeddings": vector}, headers=PROXY)) == (
        403,
        "embedding_stays",
        "",
    )


def test_a_store_of_another_bundle_is_not_served(random_bundle: Bundle, predictor: Predictor, tmp_path: Path):
    write_store(tmp_path / "other", ["e0"])
    with pytest.raises(StoreError, match="was made by tiny 1"):
        serve_in_process(random_bundle, predictor, options=ServerOptions(store=tmp_path / "other"))


def test_a_large_store_is_asked_by_its_index(
    random_bundle: Bundle,
    predictor: Predictor,
    whole: Path,
    phantoms: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    pytest.importorskip("faiss")
    store = tmp_path / "store"
    shutil.copytree(whole, store)
    write_index(open_vectors(store))
    monkeypatch.setattr("glam.store.index.INDEX_FROM", 1)
    served = serve_in_process(random_bundle, predictor, options=ServerOptions(store=store))
    by_index = ask(served, result_id=result_of(served, pair_of(phantoms, 0)), k=3)
    assert by_index["exact"] is False
    assert similar_answer(by_index).exact is False
    assert len(by_index["answers"][0]["hits"]) == 3
