"""Free text about a view is understood, and text that only looks like it is not."""

import pytest

from glam.reading.view_text import MAX_LENGTH, is_mentioned, sides_of, view_text_of, without_volumes

VIEWS = (
    ("LCC", "CC", "L"),
    ("R MLO", "MLO", "R"),
    ("L-CC", "CC", "L"),
    ("L_CC_1", "CC", "L"),
    ("RT MLO2", "MLO", "R"),
    ("MLO left", "MLO", "L"),
    ("LCCID", "CC", "L"),
    ("MLOID", "MLO", ""),
    ("RMMLO", "MLO", "R"),
    ("LMCC", "CC", "L"),
    ("CCE", "CC", "L"),
    ("CCD", "CC", "R"),
    ("MLOE", "MLO", "L"),
    ("MLOD", "MLO", "R"),
    ("MLOI", "MLO", "L"),
    ("Left Craniocaudal", "CC", "L"),
    ("Cranio-caudal links", "CC", "L"),
    ("Kraniokaudal rechts", "CC", "R"),
    ("cr\u00e2nio-caudal direita", "CC", "R"),
    ("cr\u00e1neo caudal izquierda", "CC", "L"),
    ("cranio-caudale destra", "CC", "R"),
    ("L MEDIOLATERAL OBLIQUE", "MLO", "L"),
    ("medio-lateral (oblique) R", "MLO", "R"),
    ("oblique m\u00e9dio-lat\u00e9rale gauche", "MLO", "L"),
    ("oblicua mediolateral derecha", "MLO", "R"),
    ("obliqua medio-laterale sinistra", "MLO", "L"),
    ("mediolateral schr\u00e4g rechts", "MLO", "R"),
    ("mediolateraal oblique links", "MLO", "L"),
    ("\u5de6CC", "CC", "L"),
    ("\uff2c\uff23\uff23", "CC", "L"),
    ("MLO\u00b2", "MLO", ""),
    ("LCC\u2122", "CC", "L"),
    ("mediolateral\u2013oblique left", "MLO", "L"),
    ("cranio\u2014caudal R", "CC", "R"),
    ("L medio\u2011lateral oblique", "MLO", "L"),
    ("R\u2212MLO", "MLO", "R"),
    ("caudo\u2015cranial R", "FB", "R"),
    ("mediolateral schraeg links", "MLO", "L"),
    ("mediolateral schr\ue0e4\ue067 links", "MLO", "L"),
    ("mediolateral obl\ue0ed\ue071ua direita", "MLO", "R"),
    ("mediolateral: oblique", "MLO", ""),
    ("mediolateral left oblique", "MLO", "L"),
    ("oblique (R) medio-lateral", "MLO", "R"),
    ("ML oblique R", "MLO", "R"),
    ("LM left oblique", "LMO", "L"),
    ("ML", "ML", ""),
    ("LML", "ML", "L"),
    ("left medio lateral", "ML", "L"),
    ("latero-medial oblique", "LMO", ""),
    ("LLM", "LM", "L"),
    ("RXCCL", "XCCL", "R"),
    ("exaggerated CC lateral", "XCCL", ""),
    ("L CC exaggerated medially", "XCCM", "L"),
    ("caudocranial", "FB", ""),
)


@pytest.mark.parametrize(("text", "view", "side"), VIEWS)
def test_a_view_and_its_side_are_understood(text: str, view: str, side: str) -> None:
    meaning = view_text_of(text)
    assert (meaning.views, meaning.sides) == ({view}, set(side))


@pytest.mark.parametrize(
    "text",
    [
        *(
            "ACCESSION",
            "MICROCC",
            "SCC",
            "CCTV",
            "LLC",
            "OCCULT",
            "CCU",
            "MCC",
            "BCC",
            "HTML",
            "XML",
            "LCL",
            "RAT",
            "LAT",
        ),
        *(
            "AT",
            "ID",
            "TAN",
            "MLM",
            "CCM",
            "5CC",
            "LCCTV",
            "ABCC",
            "CC4711",
            "cc36af",
            "\u00c9L",
            "\u0421\u0421",
            "\u00c7\u00c7",
        ),
        *("\u33c4", "10 cc", "100 ml Ultravist", "1,5 mL", "20 CC IOHEXOL", "R. Smith", "LATERAL", "bilateral", "L"),
    ],
)
def test_what_only_looks_like_a_view_or_a_side_is_none(text: str) -> None:
    meaning = view_text_of(without_volumes(text))
    assert (meaning.views, meaning.sides) == (set(), set())


@pytest.mark.parametrize(
    ("text", "modifiers"),
    [
        ("L CC", ()),
        ("L CC SPOT", ("spot compression",)),
        ("L CC SPOT COMPRESSION VIEW", ("spot compression",)),
        ("L CC MAG", ("magnification",)),
        ("Mag 1.8 LMLO", ("magnification",)),
        ("L CC Vergr\u00f6\u00dferung", ("magnification",)),
        ("L CC SPOT MAG", ("magnification", "spot compression")),
        ("RMLO SPOTMAG", ("magnification", "spot compression")),
        ("LMCC", ("magnification",)),
        ("RSMLO", ("spot compression",)),
        ("LCCSPOT", ("spot compression",)),
        ("L CC ROLLED MED", ("rolled medial",)),
        ("L CC rolled laterally", ("rolled lateral",)),
        ("RCCRS", ("rolled superior",)),
        ("RCC RI", ("rolled inferior",)),
        ("L CC ROLLED", ("rolled",)),
        ("L CC ID", ("implant displaced",)),
        ("MLOID", ("implant displaced",)),
        ("L CC ID 2", ("implant displaced",)),
        ("ID L CC", ("implant displaced",)),
        ("L CC IMPLANT DISPLACED", ("implant displaced",)),
        ("Eklund LMLO", ("implant displaced",)),
        ("L CC TANGENTIAL", ("tangential",)),
        ("L TAN", ("tangential",)),
        ("CC CV", ("cleavage",)),
        ("L CC cleavage", ("cleavage",)),
        ("L MLO AT", ("axillary tail",)),
        ("MLO axillary tail", ("axillary tail",)),
        ("LXCCL", ("exaggerated",)),
        ("L CC NP", ("nipple in profile",)),
        ("LMLO IMF", ("infra-mammary fold",)),
        ("L CC Patient ID 4711", ()),
        ("L CC, PAT-ID", ()),
        ("PATIENTID L CC", ()),
        ("L CC ID: 4711", ()),
        ("L CC ID#A1", ()),
        ("L CC ID 12345", ()),
        ("L CC MAG 1.0", ()),
        ("L CC no mag", ()),
        ("L CC ohne Vergr\u00f6\u00dferung", ()),
        ("L CC implant not displaced", ()),
        ("MLO AT 45 DEGREES", ()),
        ("IMAGE L CC MAGIC SPOTLIGHT", ()),
        ("L CC AGITATED", ()),
    ],
)
def test_a_modifier_is_told_where_it_is_one(text: str, modifiers: tuple[str, ...]) -> None:
    assert view_text_of(text).modifiers == modifiers


@pytest.mark.parametrize(
    ("text", "side"),
    [
        *((text, "R") for text in ("R MLO", "MLO R", "R-MLO", "MLO (R)", "MLO_R_1", "R. MLO", "MLO.R.png", "MLO, R.")),
        *(
            (text, "L")
            for text in (
                "CC SPOT L",
                "L magnification CC",
                "CC C-View L",
                "L 2 CC",
                "MAMMO L DIGITAL CC",
            )
        ),
        *((text, "R") for text in ("R XCCL", "R CC exaggerated laterally", "R CC ID, Patient ID 17")),
        *((text, "LR") for text in ("L/R CC", "CC R L", "L CC, R MLO")),
        *((text, "") for text in ("MLO-Serie Dr. R. Meyer", "CC technologist L. Brown", "Dr. R. Smith CC")),
        *((text, "") for text in ("MLO R. Meyer", "CC L.Brown", "CC J. R. Ewing", "CC by R", "L_scan12a_CC")),
        *((text, "") for text in ("Dr R Smith CC", "CC, read by L B", "L. Brown: MLO", "MLO tech R")),
    ],
)
def test_a_lone_letter_is_a_side_beside_a_view_and_else_an_initial(text: str, side: str) -> None:
    assert view_text_of(text).sides == set(side)


def test_two_views_or_two_sides_are_both_kept() -> None:
    assert view_text_of("LCC/LMLO").views == {"CC", "MLO"}
    assert view_text_of("mediolateral view, oblique").views == {"ML", "MLO"}
    assert view_text_of("\u5de6\u53f3 CC, left and right").sides == {"L", "R"}
    assert view_text_of("craniocaudal_mediolateral_oblique").views == {"CC", "MLO"}


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("L", "L"),
        ("l", "L"),
        ("LEFT", "L"),
        ("Links", "L"),
        ("\uff32", "R"),
        ("B", "B"),
        ("bilateral", "B"),
        ("L\\R", "LR"),
        ("U", ""),
        ("UNPAIRED", ""),
        ("NONE", ""),
    ],
)
def test_a_text_about_the_side_alone_may_be_a_letter(text: str, sides: str) -> None:
    assert sides_of(text) == set(sides)


def test_a_text_that_names_nothing_but_a_view_is_told_from_one_that_mentions_it() -> None:
    assert [view_text_of(text).is_view_alone for text in ("CC", "R MLO", "L CC spot", "MLO 2")] == [True] * 4
    assert [view_text_of(text).is_view_alone for text in ("", "PREMIUM VIEW", "CC algorithm", "L")] == [False] * 4


def test_a_denied_word_is_not_mentioned() -> None:
    assert is_mentioned("IMPLANTS?", "LCC (implant)")
    assert not is_mentioned("IMPLANTS?", "LCC no implants")
    assert not is_mentioned("IMPLANTS?", "IMPLANTOLOGY")


def test_what_lies_beyond_a_description_is_not_read() -> None:
    assert view_text_of(" " * MAX_LENGTH + "LCC") == view_text_of("")
    left_cut_off = " " * (MAX_LENGTH - len("MLO left")) + "MLO left"
    assert view_text_of(left_cut_off).sides == {"L"}
    assert view_text_of(f"{left_cut_off}-handed").sides == frozenset()
    assert view_text_of(f"LMLO {left_cut_off}").sides == {"L"}
