"""The model card: what a bundle says of itself, in the words of bundle.json."""

import json

from glam_export.card import model_card
from glam_export.cli import main


def test_card_tells_what_the_bundle_saw_and_that_it_is_no_diagnosis(exported, capsys):
    assert main(["card", str(exported)]) == 0
    card = capsys.readouterr().out
    assert card.startswith("# tiny 0.1.0\n")
    for phrase in (
        "300 mammograms of nobody",
        "| start_from | random weights |",
        "not for diagnosis",
        "| density macro AUC | 0.91 |",
        "may be served to others; its embeddings may be shared",
        "- density a: ",
        "not calibrated",
    ):
        assert phrase in card


def test_card_has_a_dash_for_a_figure_that_there_is_not(exported):
    manifest = json.loads((exported / "bundle.json").read_text())
    metrics = {"figures": {"mass_auc": 0.75, "hits": None}}
    card = model_card(manifest | {"metrics": metrics})
    assert "| figures mass_auc | 0.75 |\n| figures hits | - |" in card
    assert "None" not in card


def test_card_says_in_plain_words_which_places_the_model_was_told(exported):
    manifest = json.loads((exported / "bundle.json").read_text())
    told = "The model was told known places: where both views show each of 9 findings (weight 1)."
    provenance = manifest["provenance"] | {"correspondence": {"correspondence_weight": 1.0, "told": told}}
    assert told in model_card(manifest | {"provenance": provenance})


def test_card_has_a_table_of_every_generation(exported):
    manifest = json.loads((exported / "bundle.json").read_text())
    first = {"data": "EMBED", "licence": None, "start_from": None}
    card = model_card(manifest | {"provenance": manifest["provenance"] | {"start_from": first}})
    assert "## What it started from, 1 back\n| | |\n| --- | --- |\n| data | EMBED |" in card
    assert "| start_from | random weights |" in card


def test_card_of_a_bundle_that_says_nothing_says_so(exported):
    manifest = json.loads((exported / "bundle.json").read_text())
    card = model_card(manifest | {"provenance": {}, "metrics": {}, "may_serve": False, "may_share": False})
    assert "| data | not stated |" in card
    assert "| start_from | not known |" in card
    assert "nothing was measured" in card
    assert "on the loopback interface only; its embeddings are not to be shared" in card


def test_card_says_that_nobody_recorded_what_came_before_where_the_exporter_stated_it(exported):
    manifest = json.loads((exported / "bundle.json").read_text())
    stated = manifest["provenance"] | {"stated_by_exporter": ["licence", "start_from"]}
    assert "| start_from | not known |" in model_card(manifest | {"provenance": stated})


def test_card_keeps_a_table_whole_whatever_its_cells_hold(exported):
    manifest = json.loads((exported / "bundle.json").read_text())
    provenance = {"data": {"kind": "a|b", "names": ["x\ny", 2]}, "licence": None, "start_from": None}
    card = model_card(manifest | {"provenance": provenance, "metrics": {"AUC": 0.123456789}})
    assert "| data | kind a\\|b; names x y, 2 |" in card
    assert "| AUC | 0.123457 |" in card


COHORT = {
    "patients": 2,
    "exams": 2,
    "breasts": 3,
    "age_percentiles_5_50_95": [41, 58, 74],
    "age_unknown": 0,
    "years": {"2019": 1, "2021": 2},
    "vendors": {"Hologic": 3},
    "sites": {"unknown": 3},
    "image_types": {"2D": 3},
    "race": {"unknown": 3},
    "density": {"b": 3},
    "birads": {"1": 3},
}


def test_card_tells_a_reviewer_the_cohort_the_licences_the_intervals_and_what_is_not_known(exported):
    manifest = json.loads((exported / "bundle.json").read_text())
    start = {"data": "EMBED", "licence": "the EMBED agreement", "start_from": None}
    data = {"kind": "manifest", "sha256": "1" * 64, "cohort": COHORT}
    provenance = {"data": data, "licence": None, "start_from": start, "updates": 9}
    figures = {"figures": {"mass_auc": [0.8, 0.7, 0.9, 2000], "density_macro_auc": None}, "exams": 300}
    card = model_card(manifest | {"provenance": provenance, "metrics": figures})
    for line in (
        "| vendors | Hologic 3 |",
        "| years | 2019 1; 2021 2 |",
        "| age (5th, 50th, 95th percentile) | 41, 58, 74 |",
        "1. this training: unknown\n2. what it started from: the EMBED agreement",
        "| figures mass_auc | 0.800 [0.700, 0.900] |",
        "| figures density_macro_auc | - |",
        "Not known of its cohort: sites, race;",
        "## Intended use",
        "| data | kind manifest; sha256 " + "1" * 64 + " |",
    ):
        assert line in card, line


def test_card_of_phantoms_names_no_patient_and_one_without_cohort_says_so(exported):
    manifest = json.loads((exported / "bundle.json").read_text())
    phantoms = {"data": {"kind": "phantoms", "pairs": 7}, "synthetic": True, "licence": None, "start_from": None}
    card = model_card(manifest | {"provenance": phantoms})
    assert "| patients | none: synthetic phantoms |\n| breasts | 7 |" in card
    assert "It saw no patient." in card
    assert "| vendors | not stated |" in model_card(manifest | {"provenance": {"data": "EMBED"}})
