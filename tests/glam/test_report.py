"""Reports and prompts against what the released code wrote, and the edges it never met."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from glam.words.facts import (
    META_FIELDS,
    Lesion,
    ReportFacts,
    lesion_from_json,
    lesions_as_text,
    lesions_from_text,
    mask_meta,
)
from glam.words.labels import BIRADS_5, BIRADS_7, BIRADS_NAMES, DENSITY
from glam.words.report import class_prompts, report_text
from glam.words.tokens import from_vocab
from glam.words.wording import ASSESSMENTS, LESION_WORDS, STYLES, turned_location

GOLDEN = json.loads(Path(__file__).parents[1].joinpath("golden", "captions.json").read_text(encoding="utf-8"))
STANDARD = {"procedure": "MG Screen Bilat w/Tomo/CAD Stnd Protocol", "reason": "screening", "image_type": "2D"}
NON_HISPANIC = "Non-Hispanic or Latino"
PATIENTS = {
    "101": {**STANDARD, "race": "African American  or Black", "ethnicity": NON_HISPANIC, "age": 56, "density": "b"},
    "102": {**STANDARD, "race": "Caucasian or White", "ethnicity": "Hispanic or Latino", "age": 50, "density": "c"},
    "103": {
        "procedure": "MG Diagnostic Bilateral w/ CAD",
        "reason": "diagnostic",
        "image_type": "2D",
        "race": "Asian",
        "ethnicity": NON_HISPANIC,
        "age": 67,
        "density": "d",
    },
    "104": {
        "procedure": "MG Screening Bilateral w/CAD",
        "reason": "screening",
        "image_type": "2D",
        "ethnicity": NON_HISPANIC,
        "density": "a",
    },
    "106": {**STANDARD, "race": "Caucasian or White", "ethnicity": NON_HISPANIC, "age": 44, "density": "c"},
}
OVAL = Lesion(kind="mass", shape="oval", density="high")
ROUND = Lesion(kind="mass", shape="round", density="low")
IRREGULAR = Lesion(kind="mass", shape="irregular", density="equal")
DYSTROPHIC = Lesion(kind="calcification", calc_type="dystrophic", distribution="grouped")
COARSE = Lesion(kind="calcification", calc_type="coarse", distribution="grouped")
PLEOMORPHIC = Lesion(kind="calcification", calc_type="fine pleomorphic", distribution="segmental")
BREASTS = {
    "101/L": (1, ()),
    "101/R": (0, (OVAL,)),
    "102/L": (2, (DYSTROPHIC,)),
    "102/R": (2, (DYSTROPHIC,)),
    "103/L": (4, (IRREGULAR, PLEOMORPHIC)),
    "103/R": (3, (COARSE,)),
    "104/L": (1, ()),
    "104/R": (1, ()),
    "106/L": (2, (ROUND,)),
    "106/R": (1, ()),
}


def facts_of(path: str) -> ReportFacts:
    study, name = path.split("/")[-2:]
    laterality, view = name.removesuffix(".dcm").split("_")
    birads, lesions = BREASTS[f"{study}/{laterality}"]
    return ReportFacts(laterality=laterality, view=view, birads=birads, lesions=lesions, **PATIENTS[study])


@pytest.mark.parametrize("path", GOLDEN["captions"])
def test_papers_report_equals_the_released_caption_to_the_blank(path):
    assert report_text(facts_of(path), style="papers") == GOLDEN["captions"][path]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocab") / "vocab.txt"
    path.write_text("\n".join(GOLDEN["vocab"]), encoding="utf-8")
    return from_vocab(path)


@pytest.mark.parametrize(
    ("name", "task", "classes", "path"),
    [
        ("birads3", "birads", None, None),
        ("birads3_in_context", "birads", None, "106/R_MLO.dcm"),
        ("birads7_in_context", "birads", BIRADS_7, "101/L_CC.dcm"),
        ("density_in_context", "density", None, "106/R_MLO.dcm"),
    ],
)
def test_papers_prompts_equal_the_released_ones(vocabulary, name, task, classes, path):
    prompts = class_prompts(task, classes, style="papers", context=facts_of(path) if path else None)
    ids = [vocabulary.encode([prompt], max_tokens=144).ids[0] for prompt in prompts]
    assert [vocabulary.backend.decode(row, skip_special_tokens=False) for row in ids] == GOLDEN["prompts"][name]


def test_glam_report_of_the_papers_facts_has_the_same_words_when_nothing_more_is_known():
    facts = ReportFacts(birads=2, laterality="L", view="CC", density="c")
    papers = report_text(facts, style="papers").split()[:-1]
    assert report_text(facts).split() == papers


def test_glam_report_tells_place_size_and_margins():
    mass = Lesion(
        kind="mass", shape="irregular", density="high", margin="spiculated", size_mm=12.4, location="upper outer",
        depth="posterior",
    )  # fmt: skip
    lines = report_text(ReportFacts(birads=0, lesions=(mass,))).split(" [SEP] ")
    assert lines[5:8] == [
        "A mass is present in the upper outer quadrant at posterior depth",
        "The mass is Irregular and High density",
        "It measures 12 mm and has spiculated margins",
    ]


def test_two_masses_are_told_one_after_the_other():
    facts = ReportFacts(birads=0, lesions=(OVAL, ROUND))
    assert report_text(facts).count("A mass is present") == 2
    assert "[SEP] The mass is Oval and High density [SEP] The mass is Round and Low density [SEP]  Impressions" in (
        report_text(facts, style="papers")
    )


def test_glam_report_says_that_there_is_no_mass_only_when_it_is_known():
    assert "No mass is present" in report_text(ReportFacts(birads=1))
    assert "No mass is present" in report_text(ReportFacts(birads=2, lesions=(COARSE,)))
    assert "No mass" not in report_text(ReportFacts(birads=2))
    assert "No mass" not in report_text(ReportFacts(birads=2, lesions=(ROUND, COARSE)))


@pytest.mark.parametrize(
    ("lesion", "sentence"),
    [
        (Lesion(kind="mass"), "A mass is present"),
        (Lesion(kind="mass", shape="oval"), "The mass is oval"),
        (Lesion(kind="mass", density="equal"), "The mass is Isodense"),
        (Lesion(kind="calcification"), "A calcification is present"),
        (Lesion(kind="calcification", calc_type="amorphous"), "An amorphous calcification is present"),
        (Lesion(kind="calcification", distribution="linear"), "A linear calcification is present"),
        (Lesion(kind="distortion", depth="middle"), "An architectural distortion is present at middle depth"),
        (Lesion(kind="asymmetry", location="central"), "An asymmetry is present in the central breast"),
        (Lesion(kind="mass", size_mm=0.2), "It measures 1 mm"),
    ],
)
def test_glam_report_tells_what_is_known_of_a_finding(lesion, sentence):
    assert sentence in report_text(ReportFacts(lesions=(lesion,), birads=0)).split(" [SEP] ")


def test_report_of_nothing_known_has_the_four_context_segments():
    text = report_text(ReportFacts())
    assert len(text.split(" [SEP] ")) == 4
    assert "This patient is unknown, unknown, and unknown years old" in text
    assert text == " ".join(report_text(ReportFacts(), style="papers").split()).removesuffix(" [SEP]")


def test_findings_without_a_birads_are_told_in_the_glam_style_only():
    facts = ReportFacts(lesions=(OVAL,))
    assert report_text(facts).split(" [SEP] ")[4] == "Findings: A mass is present"
    assert "mass" not in report_text(facts, style="papers")


def test_mass_prompts_are_sentences_of_the_reports():
    without, with_mass = class_prompts("mass")
    assert without.removeprefix("Findings: ") in report_text(ReportFacts(birads=1)).split(" [SEP] ")
    assert with_mass.removeprefix("Findings: ") in report_text(ReportFacts(birads=0, lesions=(OVAL,))).split(" [SEP] ")


def test_prompts_are_one_a_class_and_differ():
    for task, classes in (("birads", BIRADS_5), ("birads", BIRADS_7), ("density", DENSITY), ("mass", None)):
        prompts = class_prompts(task, classes)
        assert len(set(prompts)) == len(prompts) == len(classes or (0, 1))


def test_a_class_that_is_none_is_refused():
    with pytest.raises(ValueError, match="'e' is no class of density"):
        class_prompts("density", ("a", "e"))


def test_masking_hides_all_or_nothing_at_its_ends_and_nothing_but_the_context():
    facts = facts_of("101/R_CC.dcm")
    assert mask_meta(facts, ratio=0, rng=np.random.default_rng(0)) == facts
    masked = mask_meta(facts, ratio=1, rng=np.random.default_rng(0))
    assert {getattr(masked, name) for name in META_FIELDS} == {"", None}
    kept = ("procedure", "reason", "density", "birads", "lesions")
    assert all(getattr(masked, name) == getattr(facts, name) for name in kept)


def test_masking_hides_each_field_by_itself_at_the_ratio_and_repeats_with_the_seed():
    facts = facts_of("101/R_CC.dcm")
    rng = np.random.default_rng(1)
    hidden = np.array(
        [
            [getattr(masked, name) != getattr(facts, name) for name in META_FIELDS]
            for masked in (mask_meta(facts, ratio=0.8, rng=rng) for _ in range(500))
        ]
    )
    assert np.all(np.abs(hidden.mean(axis=0) - 0.8) < 0.07)
    assert np.all(np.abs(np.corrcoef(hidden.T) - np.eye(len(META_FIELDS))) < 0.2)
    again = [mask_meta(facts, ratio=0.8, rng=np.random.default_rng(2)) for _ in range(2)]
    assert again[0] == again[1]


def test_findings_survive_the_manifest():
    lesions = (OVAL, PLEOMORPHIC, Lesion(kind="distortion", size_mm=21.5, location="retroareolar", depth="anterior"))
    assert lesions_from_text(lesions_as_text(lesions)) == lesions
    assert lesions_as_text(()) == ""
    assert lesions_from_text(" ") == lesions_from_text("[]") == ()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"kind": "mass", "shape": "square"}, "shape 'square' is none of: round, oval"),
        ({"kind": "cyst"}, "kind 'cyst' is none of: mass"),
        ({}, "kind '' is none of"),
        ({"kind": "mass", "colour": "grey"}, "has no 'colour'; it has: kind, shape"),
        ({"kind": "mass", "size_mm": -3}, "size_mm -3 is no length"),
        ({"kind": "mass", "size_mm": "12"}, "size_mm '12' is no length"),
        ({"kind": "mass", "shape": []}, "shape"),
        ("mass", "a JSON object, not 'mass'"),
    ],
)
def test_a_finding_in_unknown_words_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        lesion_from_json(data)


@pytest.mark.parametrize(("text", "message"), [("{", "no JSON"), ('{"kind": "mass"}', "JSON list")])
def test_a_findings_cell_that_is_no_list_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        lesions_from_text(text)


@pytest.mark.parametrize(("name", "value"), [("laterality", "left"), ("view", "ML"), ("density", "5"), ("birads", 7)])
def test_facts_in_unknown_words_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} {value!r} is none of"):
        ReportFacts(**{name: value})


def test_every_word_of_every_finding_can_be_told():
    kinds = {"shape": "mass", "density": "mass", "calc_type": "calcification", "distribution": "calcification"}
    for name, words in LESION_WORDS.items():
        for word in words:
            lesion = Lesion(kind=word) if name == "kind" else Lesion(kind=kinds.get(name, "mass"), **{name: word})
            assert "{" not in report_text(ReportFacts(birads=0, lesions=(lesion,)))


@pytest.mark.parametrize(
    ("location", "cc", "mlo", "both"),
    [
        ("upper outer", "upper inner", "lower outer", "lower inner"),
        ("upper inner", "upper outer", "lower inner", "lower outer"),
        ("lower outer", "lower inner", "upper outer", "upper inner"),
        ("lower inner", "lower outer", "upper inner", "upper outer"),
        ("upper", "upper", "lower", "lower"),
        ("lower", "lower", "upper", "upper"),
        ("outer", "inner", "outer", "inner"),
        ("inner", "outer", "inner", "outer"),
        ("central", "central", "central", "central"),
        ("retroareolar", "retroareolar", "retroareolar", "retroareolar"),
        ("axillary tail", "", "", ""),
        ("", "", "", ""),
    ],
)
def test_words_of_place_turn_with_the_view_they_are_read_from(location, cc, mlo, both):
    assert turned_location(location, cc=True, mlo=False) == cc
    assert turned_location(location, cc=False, mlo=True) == mlo
    assert turned_location(location, cc=True, mlo=True) == both
    assert turned_location(location, cc=False, mlo=False) == location


def test_every_place_but_the_axillary_tail_turns_to_a_place_that_has_a_name():
    for location in LESION_WORDS["location"]:
        for cc, mlo in ((True, False), (False, True), (True, True)):
            turned = turned_location(location, cc=cc, mlo=mlo)
            assert (turned in LESION_WORDS["location"]) == (location != "axillary tail")


def test_every_category_has_its_assessment():
    assert tuple(ASSESSMENTS) == BIRADS_7


KNOWN = ReportFacts(
    procedure="MG Screening Bilateral", reason="screening", race="Asian", ethnicity="Hispanic or Latino", age=56,
    image_type="2D", laterality="L", view="MLO", density="c", birads=4, lesions=(IRREGULAR, DYSTROPHIC),
)  # fmt: skip


def test_natural_report_tells_the_facts_in_plain_sentences():
    assert report_text(KNOWN, style="natural").split(" [SEP] ") == [
        "This is a 2D screening mammogram",
        "It shows the left breast in the MLO view",
        "The patient is Asian, Hispanic or Latino and 56 years old",
        "The breast is heterogeneously dense",
        "The dense tissue may lower the sensitivity of mammography",
        "A suspicious abnormality is present",
        "A mass is present",
        "The mass is Irregular and Isodense",
        "A Grouped Dystrophic calcification is present",
        "The assessment is BI-RADS category 4, suspicious abnormality",
    ]


@pytest.mark.parametrize(
    ("facts", "sentences"),
    [
        (ReportFacts(), ["This is a mammogram"]),
        (ReportFacts(image_type="analog", reason="diagnostic"), ["This is an analog diagnostic mammogram"]),
        (ReportFacts(laterality="R"), ["This is a mammogram", "It shows the right breast"]),
        (ReportFacts(view="CC"), ["This is a mammogram", "It shows a breast in the CC view"]),
        (ReportFacts(age=61), ["This is a mammogram", "The patient is 61 years old"]),
        (ReportFacts(race="Asian", age=61), ["This is a mammogram", "The patient is Asian and 61 years old"]),
        (ReportFacts(lesions=(OVAL,)), ["This is a mammogram", "A mass is present",
                                        "The mass is Oval and High density"]),
        (ReportFacts(birads=1), ["This is a mammogram", "No mass, calcification or other abnormality is present",
                                 "No mass is present", "The assessment is BI-RADS category 1, negative"]),
    ],
)  # fmt: skip
def test_natural_report_mentions_nothing_that_is_unknown(facts, sentences):
    assert report_text(facts, style="natural").split(" [SEP] ") == sentences


@pytest.mark.parametrize(
    ("density", "sentences"),
    [
        ("a", "The breast is almost entirely fat"),
        ("b", "There are scattered fibroglandular densities in the breast"),
        ("c", "The breast is heterogeneously dense [SEP] The dense tissue may lower the sensitivity of mammography"),
        ("d", "The breast is extremely dense [SEP] The dense tissue may lower the sensitivity of mammography"),
    ],
)
def test_natural_report_says_each_density(density, sentences):
    assert report_text(ReportFacts(density=density), style="natural") == f"This is a mammogram [SEP] {sentences}"
    assert class_prompts("density", (density,), style="natural") == (sentences,)


@pytest.mark.parametrize(
    ("birads", "finding", "name"),
    [
        (0, "Additional imaging is needed", "additional imaging required"),
        (1, "No mass, calcification or other abnormality is present", "negative"),
        (2, "A benign finding is present", "benign finding"),
        (3, "A probably benign finding is present", "probably benign finding"),
        (4, "A suspicious abnormality is present", "suspicious abnormality"),
        (5, "A finding that is highly suggestive of malignancy is present, and a biopsy is recommended",
         "highly suggestive of malignancy"),
        (6, "A malignancy that a biopsy has proven is present", "known biopsy-proven malignancy"),
    ],
)  # fmt: skip
def test_natural_report_says_each_category_in_the_words_of_its_prompt(birads, finding, name):
    (prompt,) = class_prompts("birads", (birads,), style="natural")
    assert prompt == f"{finding} [SEP] The assessment is BI-RADS category {birads}, {name}"
    told = report_text(ReportFacts(birads=birads), style="natural").split(" [SEP] ")
    assert set(prompt.split(" [SEP] ")) <= set(told)


def test_clip_caption_is_one_sentence_of_side_view_density_and_category():
    expected = (
        "A mammogram of the left breast in the MLO view with heterogeneously dense tissue "
        "assessed as BI-RADS category 4, suspicious abnormality"
    )
    assert report_text(KNOWN, style="clip") == expected
    assert report_text(ReportFacts(), style="clip") == "A mammogram"
    assert report_text(ReportFacts(view="CC"), style="clip") == "A mammogram in the CC view"


@pytest.mark.parametrize(
    ("density", "prompt"),
    [
        ("a", "A mammogram with almost entirely fatty tissue"),
        ("b", "A mammogram with scattered fibroglandular densities"),
        ("c", "A mammogram with heterogeneously dense tissue"),
        ("d", "A mammogram with extremely dense tissue"),
    ],
)
def test_clip_caption_and_prompt_say_each_density_alike(density, prompt):
    assert class_prompts("density", (density,), style="clip") == (prompt,)
    assert report_text(ReportFacts(density=density), style="clip") == prompt


def test_clip_prompts_say_each_category_and_a_mass():
    for birads, prompt in zip(BIRADS_7, class_prompts("birads", BIRADS_7, style="clip"), strict=True):
        assert prompt == f"A mammogram assessed as BI-RADS category {birads}, {BIRADS_NAMES[birads]}"
        assert report_text(ReportFacts(birads=birads), style="clip") == prompt
    assert class_prompts("mass", style="clip") == ("A mammogram without a mass", "A mammogram with a mass")


@pytest.mark.parametrize("style", STYLES)
def test_context_goes_before_the_prompts_of_every_style_as_before_its_reports(style):
    context = replace(KNOWN, density="", birads=None, lesions=())
    report = report_text(replace(context, density="a", birads=2), style=style)
    without = class_prompts("density", ("a", "d"), style=style)
    for plain, prompt in zip(without, class_prompts("density", ("a", "d"), style=style, context=KNOWN), strict=True):
        assert prompt != plain
        assert prompt.startswith(report_text(context, style=style).removesuffix(" "))
    assert report.startswith(class_prompts("density", ("a",), style=style, context=KNOWN)[0])


@pytest.mark.parametrize("style", STYLES)
def test_prompts_of_every_style_are_one_a_class_and_differ(style):
    for task, classes in (("birads", BIRADS_5), ("birads", BIRADS_7), ("density", DENSITY), ("mass", None)):
        prompts = class_prompts(task, classes, style=style)
        assert len(set(prompts)) == len(prompts) == len(classes or (0, 1))


@pytest.mark.parametrize("style", STYLES)
def test_masking_leaves_no_word_of_the_patient_in_any_style(style):
    masked = mask_meta(KNOWN, ratio=1, rng=np.random.default_rng(0))
    text = report_text(masked, style=style)
    assert not any(word in text for word in ("Asian", "Hispanic", "56", "left", "MLO", "2D"))
    assert any(word in report_text(KNOWN, style=style) for word in ("left", "MLO"))
