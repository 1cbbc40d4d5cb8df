import base64
import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glam.attention import hottest_cells, query_map
from glam.bundle import Bundle
from glam.config import FrameConfig
from glam.drawing.overlay import overlays
from glam.findings import InputError, finding
from glam.frame import inside_square
from glam.licence import SharingWarning
from glam.loading import open_runtime
from glam.pair import prepare_breast
from glam.predict import Predictor
from glam.prediction import INCLUDES, NOTICE, Prediction
from glam.reading.read import read_view
from glam.view import View
from glam.words.prompt_sets import unnamed_set
from glam.words.sentences import check_prompts
from glam.zeroshot import class_probabilities

TOLERANCE = 2e-5
"""Between ONNX Runtime and torch, in the numbers of an answer."""


@pytest.fixture(scope="module")
def views(mammograms: dict[str, Path]) -> dict[str, View]:
    return {name: read_view(path, FrameConfig()) for name, path in mammograms.items()}


@pytest.fixture(scope="module")
def prediction(predictor: Predictor, views: dict[str, View]) -> Prediction:
    return predictor.predict(views["L_CC"], views["L_MLO"], prompts=["extremely dense", "a zebra"])


def largest_difference(one: Prediction, two: Prediction) -> float:
    assert one.attention
    assert two.attention
    arrays = [(vars(one.attention)[name], vars(two.attention)[name]) for name in vars(one.attention)]
    arrays += [(one.embedding, two.embedding)]
    arrays += [(one.views[key].embedding, two.views[key].embedding) for key in one.views]
    for table in ("birads", "density"):
        arrays.append((np.array(list(getattr(one, table).values())), np.array(list(getattr(two, table).values()))))
    return max(float(np.abs(a - b).max()) for a, b in arrays)


def test_onnx_and_torch_agree_on_the_whole_answer(
    prediction: Prediction, random_bundle: Bundle, random_checkpoint: Path, views: dict[str, View]
):
    torch_runtime = open_runtime(random_bundle, "torch", checkpoint=random_checkpoint)
    by_torch = Predictor(random_bundle, torch_runtime).predict(views["L_CC"], views["L_MLO"])
    assert largest_difference(prediction, by_torch) <= TOLERANCE


def test_a_view_is_answered_alone_as_in_a_pair(predictor: Predictor, prediction: Prediction, views: dict[str, View]):
    alone = predictor.predict(None, views["L_MLO"])
    np.testing.assert_allclose(alone.views["mlo"].embedding, prediction.views["mlo"].embedding, atol=1e-5)
    np.testing.assert_allclose(alone.embedding, alone.views["mlo"].embedding, atol=1e-6)


def test_a_lone_view_has_no_attention_and_says_what_is_missing(predictor: Predictor, views: dict[str, View]):
    alone = predictor.predict(views["R_CC"], None)
    answer = alone.as_json(INCLUDES)
    assert (alone.missing, answer["missing"]) == (("mlo",), ["mlo"])
    assert answer["attention"] is None
    assert answer["pooling"] is None
    assert [finding.code for finding in alone.findings] == ["lone_view"]
    assert alone.laterality == "R"


def test_embeddings_have_length_one_and_the_breasts_is_their_mean(prediction: Prediction):
    vectors = np.stack([view.embedding for view in prediction.views.values()])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    mean = vectors.mean(0)
    np.testing.assert_allclose(prediction.embedding, mean / np.linalg.norm(mean), atol=1e-6)


def zero_shot(bundle: Bundle, task: str, embedding: np.ndarray) -> np.ndarray:
    return class_probabilities(embedding[None], bundle.class_vectors(task), bundle.scale)[0]


def test_probabilities_are_the_mean_of_the_views_zero_shot_answers(prediction: Prediction, random_bundle: Bundle):
    for task in ("birads", "density"):
        shares = getattr(prediction, task)
        assert tuple(shares) == random_bundle.classes[task]
        of_views = [zero_shot(random_bundle, task, view.embedding) for view in prediction.views.values()]
        np.testing.assert_allclose(list(shares.values()), np.mean(of_views, axis=0), atol=1e-9)
        for view, expected in zip(prediction.views.values(), of_views, strict=True):
            np.testing.assert_allclose(list(getattr(view, task).values()), expected, atol=1e-9)
    assert prediction.aggregation == "probabilities"
    assert not prediction.calibrated


def test_probabilities_of_the_mean_embedding_are_given_on_request(
    predictor: Predictor, random_bundle: Bundle, views: dict[str, View]
):
    averaged = predictor.predict(views["L_CC"], views["L_MLO"], aggregation="embeddings")
    assert averaged.as_json()["aggregation"] == averaged.aggregation == "embeddings"
    expected = zero_shot(random_bundle, "density", averaged.embedding)
    np.testing.assert_allclose(list(averaged.density.values()), expected, atol=1e-9)
    with pytest.raises(ValueError, match="aggregation 'votes' is neither of probabilities, embeddings"):
        predictor.predict(views["L_CC"], aggregation="votes")


def test_the_classes_of_a_prompt_set_are_told_apart_by_the_means_of_their_sentences(
    predictor: Predictor, random_bundle: Bundle, views: dict[str, View]
):
    classes = {"no": ["No mass is present", "Negative"], "yes": ["A mass is present", "a zebra"]}
    asked = unnamed_set(classes)
    match = predictor.predict(views["L_CC"], views["L_MLO"], prompts=asked).prompt_set
    alone = predictor.predict(views["L_CC"], views["L_MLO"], prompts=asked.sentences)
    vectors = dict(zip(asked.sentences, sentence_vectors(predictor, asked.sentences), strict=True))
    stacked = np.stack([np.mean([vectors[text] for text in texts], axis=0) for texts in classes.values()])
    stacked /= np.linalg.norm(stacked, axis=1, keepdims=True)
    of_views = [
        class_probabilities(view.embedding[None], stacked, random_bundle.scale)[0] for view in alone.views.values()
    ]
    assert match is not None
    np.testing.assert_allclose(list(match.tasks["classes"].values()), np.mean(of_views, axis=0), atol=1e-6)
    assert match.unknown_words == ("zebra",)
    assert match.as_json()["sha256"] == asked.sha256
    assert (match.as_json()["name"], match.as_json()["version"]) == (None, None)
    assert alone.prompt_set is None


def sentence_vectors(predictor: Predictor, sentences: tuple[str, ...]) -> np.ndarray:
    tokens = predictor.interpreter.tokens(sentences)
    return predictor.runtime.text(tokens.ids, tokens.mask)


def test_a_calibrated_bundle_says_so_and_keeps_the_order(random_bundle: Bundle, predictor: Predictor, views):
    tasks = {task: {"temperature": 2.0} for task in ("birads", "density")}
    calibrated = Predictor(replace(random_bundle, calibration=tasks), predictor.runtime).predict(views["L_CC"], None)
    plain = predictor.predict(views["L_CC"], None)
    assert (calibrated.calibrated, plain.calibrated) == (True, False)
    assert max(calibrated.density.values()) < max(plain.density.values())
    assert max(calibrated.density, key=calibrated.density.get) == max(plain.density, key=plain.density.get)
    half = Predictor(replace(random_bundle, calibration={"density": {"temperature": 2.0}}), predictor.runtime)
    assert not half.predict(views["L_CC"], None).calibrated


def test_prompts_are_compared_by_cosine_and_unknown_words_are_named(prediction: Prediction, predictor: Predictor):
    dense, zebra = prediction.prompts["extremely dense"], prediction.prompts["a zebra"]
    assert dense.probability + zebra.probability == pytest.approx(1)
    ratio = math.exp(predictor.bundle.scale * (dense.similarity - zebra.similarity))
    assert dense.probability / zebra.probability == pytest.approx(ratio, rel=1e-4)
    assert dense.unknown_words == ()
    assert zebra.unknown_words == prediction.unknown_words == ("zebra",)


def test_attention_rows_are_distributions(prediction: Prediction):
    assert prediction.attention
    for weights in vars(prediction.attention).values():
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-4)


def test_the_answer_tells_the_landmarks_in_stored_pixels_and_how_sure_they_are(prediction: Prediction) -> None:
    views = prediction.as_json(["frame"])["views"]
    for key in ("cc", "mlo"):
        landmarks, frame = views[key]["landmarks"], views[key]["frame"]
        assert landmarks["axis"][1] == landmarks["nipple"]
        assert 0 <= landmarks["nipple"][0] <= frame["cols"]
        assert 0 <= landmarks["nipple"][1] <= frame["rows"]
        assert 0 < landmarks["nipple_confidence"] <= 1
    assert views["cc"]["landmarks"]["axis_from"] == "chest wall"
    assert views["cc"]["landmarks"]["pectoral_line"] is None
    assert views["mlo"]["landmarks"]["axis_from"] == "muscle"
    assert len(views["mlo"]["landmarks"]["pectoral_line"]) == 2
    assert "landmarks" not in prediction.as_json(["findings"])["views"]["cc"]


def test_the_frame_leads_from_the_square_to_stored_pixels_and_back(prediction: Prediction, views: dict[str, View]):
    view = prediction.views["mlo"]
    assert (view.frame.rows, view.frame.cols) == views["L_MLO"].pixels.shape
    points = np.array([(3.0, 7.0), (100.0, 60.0)])
    np.testing.assert_allclose(view.frame.to_square(view.frame.to_pixels(points)), points, atol=1e-6)


def test_an_answer_is_json_and_always_says_where_it_comes_from(prediction: Prediction, random_bundle: Bundle):
    answer = json.loads(json.dumps(prediction.as_json(), allow_nan=False))
    assert answer["bundle"] == random_bundle.sha256
    assert answer["prepare_sha"] == random_bundle.prepare_sha
    assert answer["notice"] == NOTICE == "research use only, not for diagnosis"
    bare = prediction.as_json(())
    assert {"bundle", "prepare_sha", "notice", "birads", "density", "missing"} <= bare.keys()
    assert not {"embedding", "findings", "attention", "pooling"} & bare.keys()
    assert bare["views"]["cc"].keys() == {"view", "laterality", "birads", "density"}
    assert (bare["views"]["cc"]["view"], bare["views"]["cc"]["laterality"]) == ("CC", "L")
    for task in ("birads", "density"):
        of_views = [view[task] for view in bare["views"].values()]
        for name, share in bare[task].items():
            assert share == pytest.approx(np.mean([shares[name] for shares in of_views]), abs=2e-6)


def test_attention_is_sent_with_four_decimals(prediction: Prediction):
    assert prediction.attention
    sent = np.array(prediction.as_json(["attention"])["attention"]["cc_to_mlo"])
    assert sent.shape == (3, 3, 3)
    np.testing.assert_array_equal(sent, np.round(sent, 4))
    np.testing.assert_allclose(sent, prediction.attention.cc_to_mlo, atol=5e-5)


def test_cells_are_the_regions_corners_in_stored_pixels(prediction: Prediction):
    view = prediction.views["mlo"]
    sent = prediction.as_json(["cells"])["views"]["mlo"]["cells"]
    assert np.array(sent).shape == (3, 3, 4, 2)
    step = view.frame.size / 3
    corners = view.frame.to_pixels([[step, 0], [2 * step, 0], [2 * step, step], [step, step]])
    np.testing.assert_allclose(sent[0][1], np.clip(corners, 0, (view.frame.cols, view.frame.rows)), atol=0.005)


def test_regions_that_have_no_place_have_no_cells(prediction: Prediction):
    free = replace(prediction, cell_side=None)
    assert free.as_json(["cells"])["views"]["cc"]["cells"] is None


def test_maps_are_pictures_to_stretch_over_the_other_view(prediction: Prediction):
    there, back = prediction.as_json(["maps"])["maps"]
    assert {there["over"], back["over"]} == {"cc", "mlo"}
    for sent in (there, back):
        assert sent["query"]["view"] != sent["over"]
        picture = Image.open(io.BytesIO(base64.b64decode(sent["png"])))
        assert (picture.mode, picture.size) == ("RGBA", (sent["width"], sent["height"]))
        frame = prediction.views[sent["over"]].frame
        assert sent["width"] / sent["height"] == pytest.approx(frame.cols / frame.rows, rel=0.01)


def test_a_map_lies_where_the_composed_attention_does(prediction: Prediction):
    assert prediction.attention
    there, _ = overlays(prediction.attention, *squares_and_frames(prediction))
    heat = query_map(prediction.attention, there.query, grid=9)
    hottest = hottest_cells(heat, prediction.views[there.over].frame, count=1)[0].polygon.mean(axis=0)
    frame = prediction.views[there.over].frame
    alpha = np.asarray(Image.open(io.BytesIO(there.png)))[..., 3]
    x, y = hottest * (there.width / frame.cols, there.height / frame.rows)
    assert alpha[int(y), int(x)] >= 0.99 * alpha.max()
    corner = np.array(
        [[0.5, 0.5], [frame.cols - 0.5, 0.5], [0.5, frame.rows - 0.5], [frame.cols - 0.5, frame.rows - 0.5]]
    )
    outside = corner[~inside_square(corner, frame)]
    for x, y in outside * (there.width / frame.cols, there.height / frame.rows):
        assert alpha[int(y), int(x)] == 0


def squares_and_frames(prediction: Prediction) -> tuple[dict, dict]:
    views = prediction.views.items()
    return {key: view.input.pixels for key, view in views}, {key: view.frame for key, view in views}


def test_a_lone_view_has_cells_and_no_maps(predictor: Predictor, views: dict[str, View]):
    answer = predictor.predict(views["R_CC"]).as_json(["maps", "cells"])
    assert answer["maps"] is None
    assert len(answer["views"]["cc"]["cells"]) == 3


def test_pooling_weights_are_sent_on_request_as_half_floats(prediction: Prediction):
    assert prediction.attention
    sent = prediction.as_json(["pooling"])["pooling"]
    weights = np.frombuffer(base64.b64decode(sent["cc"]), "<f2").reshape(sent["shape"])
    np.testing.assert_allclose(weights, prediction.attention.pooling_cc, atol=1e-3)
    assert "pooling" not in prediction.as_json()


def test_withheld_embeddings_are_null_and_the_answer_says_why(prediction: Prediction):
    withheld = finding("embedding_withheld", way_out="ask here")
    told = {"code": "embedding_withheld", "severity": "warning", "message": withheld.message}
    for include in (("embedding",), INCLUDES):
        answer = prediction.as_json(include, withheld=withheld)
        assert answer["embedding"] is None
        assert [view["embedding"] for view in answer["views"].values()] == [None, None]
        assert answer["findings"][-1] == told
    for include in ((), ("findings", "attention", "pooling")):
        assert prediction.as_json(include, withheld=withheld) == prediction.as_json(include)


def test_a_caller_from_python_is_warned_once_that_embeddings_stay_here(
    kept_bundle: Bundle, predictor: Predictor, mammograms: dict[str, Path]
):
    kept = Predictor(kept_bundle, predictor.runtime)
    with pytest.warns(SharingWarning, match="keeps its embeddings on this machine") as caught:
        prediction = kept.predict(mammograms["L_CC"])
    assert [Path(warning.filename).name for warning in caught] == ["test_predict.py"]
    np.testing.assert_array_equal(prediction.embedding, predictor.predict(mammograms["L_CC"]).embedding)
    kept.predict(mammograms["L_CC"])  # a second warning would be an error here


def test_an_answer_for_a_prepared_breast_warns_as_well(
    kept_bundle: Bundle, predictor: Predictor, views: dict[str, View]
):
    kept, breast = Predictor(kept_bundle, predictor.runtime), prepare_breast(FrameConfig(size=126), views["L_CC"], None)
    with pytest.warns(SharingWarning, match="keeps its embeddings on this machine") as caught:
        kept.answer(breast)
    assert [Path(warning.filename).name for warning in caught] == ["test_predict.py"]
    kept.predict(views["L_CC"])  # once a Predictor: a second warning would be an error here


def test_whoever_withholds_embeddings_is_not_warned(kept_bundle: Bundle, predictor: Predictor, views: dict[str, View]):
    kept = Predictor(kept_bundle, predictor.runtime, withholds=True)
    assert kept.predict(views["L_CC"]).views["cc"].embedding.shape == (16,)  # a warning would be an error here


def test_every_public_way_to_an_answer_is_known_here():
    """A method that returns a Prediction needs a test of its SharingWarning above."""
    public = {name: method for name, method in vars(Predictor).items() if callable(method) and name[0] != "_"}
    answering = {name for name, method in public.items() if method.__annotations__["return"] is Prediction}
    assert answering == {"predict", "answer"}


def test_nothing_of_the_patient_is_in_an_answer(prediction: Prediction, views: dict[str, View]):
    text = json.dumps(prediction.as_json(INCLUDES)) + repr(prediction)
    assert views["L_CC"].patient_id
    assert views["L_CC"].patient_id not in text
    assert views["L_CC"].study_uid not in text


def test_an_include_that_is_none_is_refused(prediction: Prediction):
    with pytest.raises(ValueError, match="include 'pixels' is none of embedding"):
        prediction.as_json(["pixels"])


def test_two_breasts_are_no_pair(predictor: Predictor, views: dict[str, View]):
    with pytest.raises(InputError, match="the left and the right breast") as error:
        predictor.predict(views["L_CC"], views["R_MLO"])
    assert error.value.code == "side_mismatch"


def test_a_view_in_the_others_place_is_refused_alone_too(predictor: Predictor, views: dict[str, View]):
    with pytest.raises(InputError) as error:
        predictor.predict(views["L_MLO"], None)
    assert (error.value.code, error.value.where) == ("view_mismatch", "cc")


def test_no_view_is_no_request(predictor: Predictor):
    with pytest.raises(InputError, match="send a CC view") as error:
        predictor.predict(None, None)
    assert (error.value.code, error.value.status) == ("missing_view", 422)


def test_a_black_image_is_an_error_of_its_view(random_bundle: Bundle, views: dict[str, View]):
    black = replace(views["L_MLO"], pixels=np.zeros_like(views["L_MLO"].pixels))
    with pytest.raises(InputError) as error:
        prepare_breast(random_bundle.model.frame, views["L_CC"], black)
    assert (error.value.code, error.value.where) == ("no_breast", "mlo")


@pytest.mark.parametrize(
    ("prompts", "message"),
    [([" "], "empty"), (["a"] * 3 + ["b" * 3000], "longer"), (map(str, range(65)), "there are 65, and at most 64")],
)
def test_prompts_that_cannot_be_used_are_refused(prompts, message: str):
    with pytest.raises(InputError, match=message):
        check_prompts(list(prompts))


def test_a_prompt_given_twice_counts_once():
    assert check_prompts(["a mass ", "a mass", "none"]) == ("a mass", "none")


def test_a_prompt_of_more_tokens_than_the_model_takes_is_refused_and_not_cut(
    predictor: Predictor, views: dict[str, View]
):
    with pytest.raises(InputError, match="the model takes 64") as error:
        predictor.predict(views["L_CC"], None, prompts=["a mass is present " * 20])
    assert (error.value.code, error.value.where) == ("bad_prompt", "prompts")
