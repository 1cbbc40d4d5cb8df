"""Exams of one to eight images: the parts that are used, left out and missing, whatever their order."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from glam.config import FrameConfig
from glam.exam import MAX_IMAGES, ExamPrediction, PreparedExam, exam_prediction, prepare_exam
from glam.findings import InputError
from glam.licence import SharingWarning
from glam.predict import Predictor
from glam.prediction import INCLUDES, far_apart
from glam.reading.read import read_view
from glam.view import View
from glam.words.prompt_sets import unnamed_set

FRAME = FrameConfig(size=126)
NAMES = ("L_CC", "L_MLO", "R_CC", "R_MLO")


@pytest.fixture(scope="module")
def views(mammograms: dict[str, Path]) -> dict[str, View]:
    return {name: read_view(path, FRAME) for name, path in mammograms.items()}


@pytest.fixture(scope="module")
def whole(predictor: Predictor, views: dict[str, View]) -> ExamPrediction:
    return predictor.predict_exam([views[name] for name in NAMES])


def prepared(images: Sequence[object]) -> PreparedExam:
    return prepare_exam(FRAME, images)  # pyright: ignore[reportArgumentType]


def used(exam: PreparedExam | ExamPrediction) -> dict[int, str]:
    return {entry.image: f"{entry.laterality}_{entry.view}" for entry in exam.used}


def left_out(exam: PreparedExam | ExamPrediction) -> list[tuple[int, str]]:
    return [(entry.image, entry.code) for entry in exam.left_out]


def test_a_whole_exam_uses_every_image(whole: ExamPrediction):
    assert list(whole.breasts) == ["L", "R"]
    assert used(whole) == dict(enumerate(NAMES, start=1))
    assert (whole.left_out, whole.missing) == ((), ())


@pytest.mark.parametrize("order", [(3, 0, 2, 1), (2, 3, 1, 0), (1, 0, 3, 2)])
def test_the_order_of_the_images_does_not_matter(
    predictor: Predictor, views: dict[str, View], whole: ExamPrediction, order: tuple[int, ...]
):
    shuffled = predictor.predict_exam([views[NAMES[place]] for place in order])
    assert used(shuffled) == {image: NAMES[place] for image, place in enumerate(order, start=1)}
    np.testing.assert_array_equal(shuffled.embedding, whole.embedding)
    assert (shuffled.birads, shuffled.density) == (whole.birads, whole.density)
    for side, breast in whole.breasts.items():
        assert shuffled.breasts[side].as_json(INCLUDES) == breast.as_json(INCLUDES)


def test_each_breast_is_answered_as_by_itself(predictor: Predictor, views: dict[str, View], whole: ExamPrediction):
    for side in ("L", "R"):
        alone = predictor.predict(views[f"{side}_CC"], views[f"{side}_MLO"])
        np.testing.assert_allclose(whole.breasts[side].embedding, alone.embedding, atol=1e-5)
        assert whole.breasts[side].density == pytest.approx(alone.density, abs=1e-5)
        assert whole.breasts[side].findings == alone.findings


@pytest.mark.parametrize("names", [("L_CC", "L_MLO"), ("R_MLO",)])
def test_a_lone_breast_is_answered_as_predict_does(
    predictor: Predictor, views: dict[str, View], names: tuple[str, ...]
):
    exam = predictor.predict_exam([views[name] for name in names])
    side = names[0][0]
    parts = {name.partition("_")[2].lower(): views[name] for name in names}
    alone = predictor.predict(parts.get("cc"), parts.get("mlo"))
    assert list(exam.breasts) == [side]
    assert exam.breasts[side].as_json(INCLUDES) == alone.as_json(INCLUDES)
    assert exam.birads == pytest.approx(alone.birads, abs=1e-12)
    np.testing.assert_allclose(exam.embedding, alone.embedding, atol=1e-7)
    assert [finding.code for finding in exam.findings] == ["lone_breast"]
    other = {"L": "right", "R": "left"}[side]
    assert other in exam.findings[0].message


@pytest.mark.parametrize("names", [("L_CC",), ("R_MLO", "L_CC"), ("L_CC", "R_CC", "R_MLO")])
def test_what_is_missing_is_told(predictor: Predictor, views: dict[str, View], names: tuple[str, ...]):
    exam = predictor.predict_exam([views[name] for name in names])
    assert exam.missing == tuple(name for name in NAMES if name not in names)
    assert sorted(used(exam).values()) == sorted(names)


def test_exam_probabilities_are_the_mean_of_the_breasts_each_counted_once(predictor: Predictor, views: dict[str, View]):
    exam = predictor.predict_exam([views["L_CC"], views["L_MLO"], views["R_CC"]])
    for task in ("birads", "density"):
        of_breasts = [list(getattr(breast, task).values()) for breast in exam.breasts.values()]
        np.testing.assert_allclose(list(getattr(exam, task).values()), np.mean(of_breasts, axis=0), atol=1e-12)
    mean = np.mean([breast.embedding for breast in exam.breasts.values()], axis=0)
    np.testing.assert_allclose(exam.embedding, mean / np.linalg.norm(mean), atol=1e-7)


def test_embeddings_are_averaged_within_a_breast_on_request(
    predictor: Predictor, views: dict[str, View], whole: ExamPrediction
):
    averaged = predictor.predict_exam([views[name] for name in NAMES], aggregation="embeddings")
    for side, breast in averaged.breasts.items():
        alone = predictor.predict(views[f"{side}_CC"], views[f"{side}_MLO"], aggregation="embeddings")
        assert breast.density == pytest.approx(alone.density, abs=1e-5)
    assert averaged.as_json(())["aggregation"] == "embeddings"
    assert averaged.density != whole.density


def test_a_set_is_averaged_over_the_breasts(predictor: Predictor, views: dict[str, View]):
    asked = unnamed_set({"no": ["Negative"], "yes": ["A mass is present"]})
    exam = predictor.predict_exam([views["L_CC"], views["R_CC"]], prompts=asked)
    of_breasts = [breast.prompt_set.tasks["classes"]["yes"] for breast in exam.breasts.values() if breast.prompt_set]
    assert exam.prompt_set is not None
    assert exam.prompt_set.tasks["classes"]["yes"] == pytest.approx(np.mean(of_breasts))
    assert exam.prompt_set.prompt_set is asked


def test_a_bad_file_among_good_ones_is_left_out_and_told(mammograms: dict[str, Path]):
    whole_file = mammograms["R_CC"].read_bytes()
    exam = prepared([mammograms["L_CC"], b"no mammogram", mammograms["L_MLO"], whole_file[: len(whole_file) // 2]])
    assert used(exam) == {1: "L_CC", 3: "L_MLO"}
    assert left_out(exam) == [(2, "not_dicom"), (4, "truncated")]
    assert exam.missing == ("R_CC", "R_MLO")


def test_an_image_without_a_breast_is_left_out_and_the_others_are_used(views: dict[str, View]):
    black = replace(views["L_MLO"], pixels=np.zeros_like(views["L_MLO"].pixels))
    exam = prepared([black, views["L_CC"], views["R_CC"]])
    assert used(exam) == {2: "L_CC", 3: "R_CC"}
    assert left_out(exam) == [(1, "no_breast")]


def test_a_side_of_which_no_image_can_be_used_is_absent(views: dict[str, View]):
    blacks = [replace(views[name], pixels=np.zeros_like(views[name].pixels)) for name in ("R_CC", "R_MLO")]
    exam = prepared([*blacks, views["L_CC"]])
    assert list(exam.breasts) == ["L"]
    assert left_out(exam) == [(1, "no_breast"), (2, "no_breast")]
    assert [finding.code for finding in exam.findings] == ["lone_breast"]


def test_another_image_of_a_view_steps_in_for_one_without_a_breast(views: dict[str, View]):
    black = replace(views["L_CC"], pixels=np.zeros_like(views["L_CC"].pixels), acquired=("20260102", 9))
    exam = prepared([views["L_CC"], black, views["L_MLO"]])
    assert used(exam) == {1: "L_CC", 3: "L_MLO"}
    assert left_out(exam) == [(2, "no_breast")]


def test_of_two_images_of_a_view_one_is_used_and_the_other_told(views: dict[str, View]):
    exam = prepared([views["L_CC"], views["L_MLO"], replace(views["L_CC"])])
    assert sorted(used(exam).values()) == ["L_CC", "L_MLO"]
    ((image, code, message),) = exam.left_out
    assert code == "same_view_twice"
    assert {image, *used(exam)} == {1, 2, 3}
    taken = next(number for number, name in used(exam).items() if name == "L_CC")
    assert message == f"image {taken} shows the same view, and was taken"


def test_which_of_two_images_is_used_does_not_hang_on_their_order(views: dict[str, View]):
    retake = replace(views["L_CC"], pixels=views["L_CC"].pixels // 2)
    images = [views["L_CC"], retake, views["L_MLO"]]
    chosen = set()
    for order in permutations(range(3)):
        exam = prepared([images[place] for place in order])
        taken = {order[image - 1] for image in used(exam)}
        chosen.add(frozenset(taken))
    assert len(chosen) == 1


def test_a_plain_view_is_taken_before_a_magnified_one(views: dict[str, View]):
    magnified = replace(views["L_CC"], modifiers=("magnification",))
    for images in ([magnified, views["L_CC"]], [views["L_CC"], magnified]):
        exam = prepared(images)
        (entry,) = exam.used
        assert images[entry.image - 1] is views["L_CC"]


def test_eight_images_are_an_exam_and_none_or_nine_are_not(views: dict[str, View]):
    images = [views[name] for name in NAMES for _ in range(2)]
    assert len(images) == MAX_IMAGES
    exam = prepared(images)
    assert sorted(used(exam).values()) == list(NAMES)
    assert [code for _, code in left_out(exam)] == ["same_view_twice"] * 4
    for wrong in ([], [*images, views["L_CC"]]):
        with pytest.raises(InputError, match=f"1 to 8 images, not {len(wrong)}") as error:
            prepared(wrong)
        assert (error.value.code, error.value.where, error.value.status) == ("bad_images", "images", 422)


@pytest.mark.parametrize(
    ("change", "code"), [({"patient_id": "other"}, "patient_mismatch"), ({"study_uid": "1.2.3"}, "study_mismatch")]
)
def test_images_of_several_exams_are_refused(views: dict[str, View], change: dict[str, str], code: str):
    stranger = replace(views["R_CC"], **change)  # of the other breast: no pair of views meets it
    with pytest.raises(InputError) as error:
        prepared([views["L_CC"], views["L_MLO"], stranger])
    assert (error.value.code, error.value.where, error.value.status) == (code, "images", 422)
    assert "other" not in str(error.value)


def test_films_may_name_several_patients(views: dict[str, View]):
    film = replace(views["R_CC"], patient_id="other", is_mg=False)
    assert len(prepared([views["L_CC"], film]).used) == 2


def test_nothing_usable_tells_the_fault_of_the_first_image(mammograms: dict[str, Path]):
    with pytest.raises(InputError, match="none of the images can be used; image 1: this is not a DICOM file") as error:
        prepared([b"x", mammograms["L_CC"].read_bytes()[:700]])
    assert (error.value.code, error.value.status) == ("no_usable_image", 422)


def test_nothing_usable_names_an_image_whatever_stage_refused_it(views: dict[str, View]):
    black = replace(views["L_CC"], pixels=np.zeros_like(views["L_CC"].pixels))
    with pytest.raises(InputError, match="image 1: no breast can be seen"):
        prepared([black, b"x"])


@pytest.mark.parametrize(
    ("density", "other", "far"),
    [
        ({"a": 0.9, "b": 0.1, "c": 0, "d": 0}, {"a": 0, "b": 0, "c": 0.6, "d": 0.4}, True),
        ({"a": 0.9, "b": 0.1, "c": 0, "d": 0}, {"a": 0.1, "b": 0.9, "c": 0, "d": 0}, False),
        ({}, {}, False),
    ],
)
def test_densities_two_classes_apart_are_far_apart(density: dict, other: dict, far: bool):
    assert far_apart(density, other) is far_apart(other, density) is far


def test_breasts_of_which_the_densities_lie_far_apart_are_told(whole: ExamPrediction, views: dict[str, View]):
    exam = prepared([views[name] for name in NAMES])
    left = replace(whole.breasts["L"], density={"a": 1.0, "b": 0.0, "c": 0.0, "d": 0.0})
    right = replace(whole.breasts["R"], density={"a": 0.0, "b": 0.0, "c": 0.0, "d": 1.0})
    (told,) = exam_prediction(exam, {"L": left, "R": right}).findings
    assert told.code == "sides_disagree"
    assert "density a in the left breast and d in the right one" in told.message
    assert exam_prediction(exam, {"L": left, "R": left}).findings == ()


def test_the_views_of_a_breast_that_lie_far_apart_are_told(predictor: Predictor, views: dict[str, View]):
    from glam.engine import run_breasts
    from glam.pair import prepare_breast

    breast = prepare_breast(FRAME, views["L_CC"], views["L_MLO"])
    (vectors,) = run_breasts(predictor.runtime, [breast.squares])
    classes = predictor.bundle.class_vectors("density")
    opposite = replace(vectors, embeddings={"cc": classes[0], "mlo": classes[3]})
    codes = [finding.code for finding in predictor.interpreter.prediction(breast, opposite).findings]
    assert "views_disagree" in codes


def test_an_exam_is_json_and_hides_what_is_withheld(whole: ExamPrediction, views: dict[str, View]):
    from glam.findings import finding

    answer = whole.as_json(INCLUDES)
    assert answer["used"][0] == {"image": 1, "laterality": "L", "view": "CC"}
    assert answer["breasts"]["R"]["laterality"] == "R"
    assert len(answer["embedding"]) == 16
    withheld = finding("embedding_withheld", way_out="ask here")
    hidden = whole.as_json(INCLUDES, withheld=withheld)
    assert hidden["embedding"] is None
    assert [breast["embedding"] for breast in hidden["breasts"].values()] == [None, None]
    assert views["L_CC"].patient_id not in str(answer)


def test_a_caller_from_python_is_warned_of_sharing_by_an_exam_too(
    kept_bundle, predictor: Predictor, views: dict[str, View]
):
    kept = Predictor(kept_bundle, predictor.runtime)
    with pytest.warns(SharingWarning) as caught:
        kept.predict_exam([views["L_CC"]])
    assert [Path(warning.filename).name for warning in caught] == ["test_exam.py"]
