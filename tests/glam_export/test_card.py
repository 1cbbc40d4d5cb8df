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
    assert "| figures | mass_auc 0.75; hits - |" in card
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
