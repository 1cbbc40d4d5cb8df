"""What only looks like a side or a view is none, and a side is read where it stands as a word of its own."""

import pytest

from glam.reading.view_text import sides_of, view_text_of


@pytest.mark.parametrize(
    "text",
    [
        *("MLO R/O mass", "R/O MLO", "MLO r / o", "MLO R/S", "MLO R/T", "MLO L/N axilla", "MLO C/R", "MLO I/R"),
        *("MLO R&D", "MLO R & D", "MLO R+D", "MLO R=1", "MLO R@1", "MLO L#1", "MLO R?", "MLO ?R", "MLO R*", "MLO L:12"),
        *("MLO R-value", "MLO R -value", "MLO R\u2010value", "MLO L-spine", "MLO L-arginine", "MLO R-2", "MLO D-R"),
        *("MLO D.R.", "MLO R.O. mass", "MLO, l'autre sein", "MLO l\u2019autre", "MLO l\u00b4autre", "MLO 'R'"),
        *("MLO L spine", "MLO R arm", "MLO left arm prosthesis", "MLO left upper arm", "MLO linker Arm"),
        *(
            "MLO bras gauche",
            "MLO brazo izquierdo",
            "MLO braccio sinistro",
            "MLO bra\u00e7o esquerdo",
            "MLO linker voet",
        ),
        *("MLO left mastectomy", "MLO Z.n. Ablatio mammae rechts", "MLO mastectomie gauche", "MLO mastectomy, right"),
        *("MLO no left", "MLO except left", "MLO not the left", "MLO no view of left", "MLO other than right"),
        *("MLO ohne links", "MLO nicht die linke", "MLO sauf gauche", "MLO pas \u00e0 gauche", "MLO excepto izquierda"),
        *("MLO tranne sinistra", "MLO exceto esquerda", "MLO behalve links", "MLO left missing", "MLO right not done"),
        *("MLO left-handed", "MLO right-angle", "MLO left in place", "MLO clip was left", "MLO all right"),
        *("MLO upper left corner", "MLO J. Doe RT(R)(M)", "MLO J Doe RT", "MLO post RT", "MLO, J Doe, Esq."),
        *("MLO C-View(R)", "MLO CCD", "MLO CCI", "MLO CCD detector", "MLO CCI score 3"),
    ],
)
def test_a_word_that_only_looks_like_a_side_is_none(text: str) -> None:
    meaning = view_text_of(text)
    assert (meaning.views, meaning.sides) == ({"MLO"}, set())


@pytest.mark.parametrize(
    "text",
    [
        *("MAMMO CCD DETECTOR", "DIGITAL CCD", "CCD camera", "CCI score 3", "CCE cholecystectomy", "cc: Dr Smith"),
        *("cc to Dr Smith", "no CC", "not MLO", "except MLO", "no left MLO", "CC not done", "MLO refused", "keine MLO"),
    ],
)
def test_a_word_that_only_looks_like_a_view_is_none(text: str) -> None:
    meaning = view_text_of(text)
    assert (meaning.views, meaning.sides) == (set(), set())


@pytest.mark.parametrize(
    ("text", "view", "side"),
    [
        *((text, "MLO", "R") for text in ("R-MLO", "MLO/R", "MLO (R)", "R MLO", "MLO, R", "R:MLO", "R_MLO", "[R] MLO")),
        *((text, "MLO", "R") for text in ('"R" MLO', "MAMMO-R-MLO", "P12-R-MLO-1", "Smith-R-MLO", "MLO R:", "R/MLO/2")),
        *((text, "MLO", "L") for text in ("mediolateral-oblique-L", "L-mediolateral oblique", "L\u2013MLO", "L - MLO")),
        *((text, "CC", "R") for text in ("R-SPOT-CC", "R-MAG CC", "12-R-CC", "R CC, no L", "R CC - Dr. L. Smith")),
        *((text, "MLO", "L") for text in ("left-sided MLO", "left/MLO", "MLO-left-1", "left breast MLO", "MLO esq")),
        *(
            (text, "MLO", "L")
            for text in ("L MLO R/O mass", "LEFT MLO, R/O MASS", "L MLO L-spine", "L MLO right arm up")
        ),
        *((text, "CC", "L") for text in ("L CC DR", "L CC w/o implant", "LT CC", "CCE", "CCE mag", "MAMO CCE", "CCI")),
        *((text, "MLO", "L") for text in ("\u5de6\u4fa7 MLO", "\u5de6\u5074MLO", "MLO left axilla", "MLO\\L")),
        *((text, "CC", "LR") for text in ("L/R CC", "R/L CC", "right/left CC", "R L CC", "left and right CC")),
        *((text, "", "R") for text in ("RT BREAST DIAG", "MAMMOGRAM RT", "RT", "\u53f3\u4fa7")),
    ],
)
def test_a_side_of_its_own_is_read(text: str, view: str, side: str) -> None:
    meaning = view_text_of(text)
    assert (meaning.views, meaning.sides) == ({view} - {""}, set(side))


@pytest.mark.parametrize("text", ["R/O", "R&D", "not left", "left arm", "non-left", "R?", "L-spine"])
def test_a_text_about_the_side_that_is_none_names_none(text: str) -> None:
    assert sides_of(text) == frozenset()
