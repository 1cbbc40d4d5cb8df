import json
from dataclasses import asdict
from types import SimpleNamespace

import numpy as np
import pytest

from glam.correspondence import Queries
from glam.phantom import PhantomOptions
from glam.phantom.trial import BreastResult, figures, fit_priors, results
from glam_train.commands import PreparePhantoms
from glam_train.data.cache import describe_cache, read_cache
from glam_train.evaluation.results import (
    check_trained_on,
    describe_bundle,
    labelled,
    results_json,
    results_page,
    undefined,
    write_results,
)

SMALL = PhantomOptions(px_mm=0.96, lesion_weights=(0, 1, 0, 0, 0, 0, 0), num_tissue_points=20)
SIDE = 3


def made_up(exam: int, density: str, *, has_mass: bool, right: bool) -> BreastResult:
    """A breast about which the model is right, or looks at the wrong row."""
    truth = np.array([0, 1, 2])
    scores = np.eye(SIDE)[truth if right else (truth + 1) % SIDE]
    asked = Queries(cells=np.array([[0, 0], [1, 1], [2, 2]]), scores=scores, true_rows=truth)
    kinds = [(kind, view) for kind in ("mass", "lesion", "tissue", "gland") for view in ("cc", "mlo")]
    return BreastResult(
        exam=exam,
        density=density,
        has_mass=has_mass,
        density_probabilities=np.eye(4)["abcd".index(density)],
        mass_probability=0.9 if has_mass else 0.1,
        queries=dict.fromkeys(kinds, asked),
    )


@pytest.fixture(scope="module")
def priors():
    from glam.metrics import PositionPrior

    flat = PositionPrior(np.full((SIDE, SIDE, SIDE), 1 / SIDE))
    return {(kind, view): flat for kind in ("lesion", "tissue") for view in ("cc", "mlo")}


def test_figures_of_a_perfect_and_of_a_wrong_model(priors):
    breasts = [(index // 2, "abcd"[index % 4], index % 2 == 0) for index in range(40)]
    right = [made_up(exam, density, has_mass=mass, right=True) for exam, density, mass in breasts]
    found = figures(right, priors, seed=0)
    assert found.density_macro_auc.value == found.mass_auc.value == 1
    assert found.hits["mass"].hit_at_1.model.value == 1
    assert found.hits["mass"].hit_at_1.position_only.value == pytest.approx(1 / 3)
    assert found.hits["tissue"].hit_at_1.ratio.value == pytest.approx(3)
    wrong = [made_up(exam, density, has_mass=mass, right=False) for exam, density, mass in breasts]
    assert figures(wrong, priors, seed=0).hits["mass"].hit_at_1.model.value == 0


@pytest.mark.slow
def test_a_bundle_is_asked_through_the_inference_path(predictor, tmp_path, capsys):
    PreparePhantoms(out=tmp_path / "cache", pairs=2, preset="tiny").run()
    fitted = fit_priors(read_cache(tmp_path / "cache").records, side=predictor.bundle.model.alignment.side)
    found = list(results(predictor, num_exams=2, seed=5, options=SMALL))
    assert [result.exam for result in found] == [0, 0, 1, 1]
    assert sum(result.has_mass for result in found) >= 2
    tissue = found[0].queries["tissue", "cc"]
    assert tissue.scores.shape == (len(tissue.true_rows), 3)
    np.testing.assert_allclose(tissue.scores.sum(axis=1), 1, atol=1e-4)
    assert set(fitted) == {(kind, view) for kind in ("lesion", "tissue") for view in ("cc", "mlo")}


def test_the_page_tells_every_figure_and_what_it_is_worth(priors):
    breasts = [made_up(index, "abcd"[index % 4], has_mass=index % 2 == 0, right=True) for index in range(20)]
    about = {"name": "toy", "version": "1", "vision_sha256": "0" * 64}
    content = results_json(figures(breasts, priors, seed=0), bundle=about, exams=20, seed=3)
    page = results_page(json.loads(json.dumps(content)))
    assert "A phantom figure says nothing about patients." in page
    assert "| masses | 120 | 1.000 [1.000, 1.000] | 0.333" in page
    assert "density a to d, macro | 1.000" in page
    assert "What the model was told of places is not stated." in page
    content["bundle"]["told"] = "The model was told known places."
    assert "\n\nThe model was told known places.\n\n" in results_page(json.loads(json.dumps(content)))
    assert asdict(figures(breasts, priors, seed=0))["num_with_mass"] == 10


def test_a_model_that_does_not_compare_views_has_no_figure_of_places(priors):
    breasts = [made_up(index, "abcd"[index % 4], has_mass=index % 2 == 0, right=True) for index in range(20)]
    without = figures([breast._replace(queries={}) for breast in breasts], {}, seed=0)
    about = {"name": "toy", "version": "1", "vision_sha256": "0" * 64}
    content = json.loads(json.dumps(results_json(without, bundle=about, exams=20, seed=3), allow_nan=False))
    assert content["figures"]["hits"] is None
    assert content["figures"]["density_macro_auc"][0] == content["figures"]["mass_auc"][0] == 1
    goals = content["goals"]
    for name in ("hit@1 of masses over position only", "lower end of its interval"):
        assert (goals[name]["value"], goals[name]["holds"]) == (None, False)
    page = results_page(content)
    assert "| masses | - | - | - | - | - | - |" in page
    assert "| tissue that is mostly gland | - |" in page
    assert "| hit@1 of masses over position only | 2 | - | - |" in page
    assert "| density a to d, macro | 1.000 [1.000, 1.000] |" in page
    assert "| density macro AUC | 0.98 | 1.000 | yes |" in page


def test_figures_that_so_few_exams_do_not_define_are_dashes_and_named(priors, tmp_path):
    breasts = [made_up(index, "b", has_mass=False, right=True) for index in range(3)]
    nothing = Queries(cells=np.zeros((0, 2), int), scores=np.zeros((0, SIDE)), true_rows=np.zeros(0, int))
    breasts = [
        breast._replace(queries={key: nothing if key[0] == "mass" else asked for key, asked in breast.queries.items()})
        for breast in breasts
    ]
    about = {"name": "toy", "version": "1", "vision_sha256": "0" * 64}
    content = results_json(figures(breasts, priors, seed=0), bundle=about, exams=3, seed=3)
    rates = [f"hits.mass.hit_at_{k}.{name}" for k in (1, 3) for name in ("model", "position_only", "ratio")]
    assert undefined(content["figures"]) == ["density_macro_auc", "mass_auc", *rates]
    assert not any(goal["holds"] for goal in content["goals"].values())
    page = results_page(json.loads(json.dumps(content)))
    assert "| density a to d, macro | - |" in page
    assert "| masses | 0 | - | - | - | - | - |" in page
    assert "| density macro AUC | 0.98 | - | - |" in page
    told = labelled(content["figures"])
    assert told["mass_auc"] is None
    assert told["hits"]["tissue"]["hit_at_1"]["model"]["value"] == 1.0


@pytest.mark.parametrize(
    ("data", "alignment", "message"),
    [
        (
            {"kind": "phantoms", "records_sha256": "0" * 64},
            1,
            "trained on phantoms with records 000000000000, the cache",
        ),
        ({"kind": "phantoms", "records_sha256": "0" * 64}, None, "does not compare its views"),
    ],
)
def test_a_bundle_is_not_measured_on_a_cache_that_it_was_not_trained_on(toy_places, tmp_path, data, alignment, message):
    bundle = SimpleNamespace(name="b", provenance={"data": data}, model=SimpleNamespace(alignment=alignment))
    with pytest.raises(ValueError, match=message):
        check_trained_on(bundle, toy_places, tmp_path)


def test_a_bundle_is_measured_on_its_own_cache_and_said_where_that_is_not_known(toy_places, tmp_path, capsys):
    own = {"kind": "phantoms", "records_sha256": describe_cache(toy_places)["records_sha256"]}
    model = SimpleNamespace(alignment=1)
    check_trained_on(SimpleNamespace(name="b", provenance={"data": own}, model=model), toy_places, tmp_path)
    assert capsys.readouterr().err == ""
    check_trained_on(SimpleNamespace(name="b", provenance={"data": None}, model=model), toy_places, tmp_path)
    assert "which the bundle does not name as its data" in capsys.readouterr().err


def test_kinds_of_places_that_were_not_asked_about_have_no_row(priors):
    breasts = [made_up(index, "abcd"[index % 4], has_mass=index % 2 == 0, right=True) for index in range(20)]
    fewer = [
        breast._replace(queries={key: asked for key, asked in breast.queries.items() if key[0] != "gland"})
        for breast in breasts
    ]
    assert list(figures(fewer, priors, seed=0).hits) == ["mass", "lesion", "tissue"]


@pytest.mark.parametrize(
    ("provenance", "told"),
    [
        ({"correspondence": {"told": "It was told nothing."}}, "It was told nothing."),
        ({}, "not stated"),
        ({"correspondence": "by hand"}, "not stated"),
    ],
)
def test_a_bundle_is_described_with_what_its_provenance_says_of_places(tmp_path, provenance, told):
    (tmp_path / "vision.onnx").write_bytes(b"graph")
    bundle = SimpleNamespace(folder=tmp_path, name="toy", version="1", provenance=provenance)
    assert told in describe_bundle(bundle)["told"]


def test_writing_the_page_leaves_the_sections_of_other_commands(priors, tmp_path):
    breasts = [made_up(index, "abcd"[index % 4], has_mass=index % 2 == 0, right=True) for index in range(20)]
    content = results_json(figures(breasts, priors, seed=0), bundle={"name": "toy", "version": "1"}, exams=20, seed=3)
    content["bundle"]["vision_sha256"] = "0" * 64
    section = "<!-- alignment: bench/alignment.py -->\n## Alignment\n\nFigures.\n\n<!-- /alignment -->"
    page = tmp_path / "results.md"
    page.write_text(f"# Old\n\nGone.\n\n{section}\n\nGone too.\n")
    for _ in range(2):
        write_results(json.loads(json.dumps(content)), out=tmp_path / "results.json", page=page)
    text = page.read_text()
    assert text.count(section) == 1
    assert text.startswith("# Results")
    assert "Gone" not in text
