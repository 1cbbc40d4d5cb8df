"""A side in a free text counts beside a view where all words up to the text's end are known, and nowhere else."""

import pytest

from glam.reading.view_text import sides_of, view_text_of, view_text_of_name

OTHER_WORDS = (
    *(
        "arm",
        "spine",
        "pacemaker",
        "scar",
        "marker",
        "mastectomy",
        "absent",
        "missing",
        "unavailable",
        "patient",
        "tech",
    ),
    *(
        "not",
        "no",
        "except",
        "contralateral",
        "vs",
        "opposite",
        "mirror",
        "over",
        "behind",
        "away",
        "upper",
        "T12",
        "5cm",
    ),
    *("Meyer", "Arm", "ohne", "oben", "bras", "sauf", "brazo", "sin", "braccio", "senza", "sem", "zonder", "inte"),
    *("\u53cd", "\ufffd", "&", "=", "~", "'", ">", "?", "images", "views"),
)


@pytest.mark.parametrize("word", OTHER_WORDS)
def test_a_side_beside_any_word_that_is_not_known_is_none(word: str) -> None:
    for side in ("left", "L", "LT", "links", "gauche", "\u5de6"):
        for text in (f"MLO {side} {word}", f"MLO {word} {side}", f"{word} {side} MLO", f"{side} {word} MLO"):
            assert view_text_of(text).sides == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        *("MLO R/O mass", "R/O MLO", "MLO r / o", "MLO R/S", "MLO R/T", "MLO L/N axilla", "MLO C/R", "MLO I/R"),
        *("MLO R&D", "MLO R & D", "MLO R+D", "MLO R=1", "MLO R@1", "MLO L#1", "MLO R?", "MLO ?R", "MLO R*", "MLO L:12"),
        *("MLO R-value", "MLO R -value", "MLO R\u2010value", "MLO L-spine", "MLO L-arginine", "MLO D-R", "MLO R/2"),
        *("MLO D.R.", "MLO R.O. mass", "MLO, l'autre sein", "MLO l\u2019autre", "MLO l\u00b4autre", "MLO 'R'"),
        *("MLO left-handed", "MLO right-angle", "MLO non-left", "MLO ex-left", "MLO left-sided heart"),
        *("MLO Z.n. Ablatio mammae rechts", "MLO mastectomy, right", "MLO clip was left in place", "MLO 2 views left"),
        *("MLO J. Doe RT(R)(M)", "MLO J Doe RT", "MLO RT planning", "MLO, J Doe, Esq.", "MLO Lt. Col.", "MLO Dr Linke"),
        *("MLO C-View(R)", "MLO Selenia(R)", "MLO iCAD R", "MLO Mo/Rh R", "MLO room L2", "MLO unit R", "MLO L T12"),
        *("MLO R. Meyer", "MLO L.Brown", "Dr R Smith MLO", "Mary L Jones MLO", "prior L MLO", "MLO L CM"),
        *("smith R MLO", "P12-R-MLO", "MLO left axilla", "MLO L_scan", "MLO 45\u00b0 L", "\u00a9 L MLO"),
    ],
)
def test_a_side_that_may_be_another_word_is_none(text: str) -> None:
    meaning = view_text_of(text)
    assert (meaning.views, meaning.sides) == ({"MLO"}, set())


@pytest.mark.parametrize(
    "text",
    [
        *("MAMMO CCD DETECTOR", "DIGITAL CCD", "CCD camera", "CCI score 3", "CCE cholecystectomy", "MAMO CCE"),
        *("cc: Dr Smith", "cc to Dr Smith"),
        *("no CC", "not MLO", "except MLO", "no left MLO", "CC not done", "MLO refused", "keine MLO", "no LMLO"),
    ],
)
def test_a_word_that_only_looks_like_a_view_is_none(text: str) -> None:
    meaning = view_text_of(text)
    assert (meaning.views, meaning.sides) == (set(), set())


@pytest.mark.parametrize("text", ["MLO CCD", "MLO CCI", "MLO CCD detector", "MLO CCI score 3"])
def test_a_detector_beside_a_view_is_no_second_one(text: str) -> None:
    meaning = view_text_of(text)
    assert (meaning.views, meaning.sides) == ({"MLO"}, set())


@pytest.mark.parametrize(
    ("text", "view", "side"),
    [
        *((text, "MLO", "R") for text in ("R-MLO", "MLO/R", "MLO (R)", "R MLO", "MLO, R", "R:MLO", "R_MLO", "[R] MLO")),
        *((text, "MLO", "R") for text in ('"R" MLO', "MAMMO-R-MLO", "MLO R:", "R/MLO/2", "MLO R-2", "MLO-R-1.png")),
        *((text, "MLO", "L") for text in ("mediolateral-oblique-L", "L-mediolateral oblique", "L\u2013MLO", "L - MLO")),
        *((text, "CC", "R") for text in ("R-SPOT-CC", "R-MAG CC", "12-R-CC", "right breast cc", "CC right side")),
        *((text, "MLO", "L") for text in ("left-sided MLO", "left/MLO", "MLO-left-1", "left breast MLO", "MLO esq")),
        *(
            (text, "MLO", "L")
            for text in ("L MLO mass", "LEFT MLO, pain", "Smith LMLO", "Siemens MLO left", "L MLO C-View")
        ),
        *((text, "MLO", "L") for text in ("mediolateral_oblique_left", "left_medio_lateral_oblique", "MLO L C-View")),
        *(
            (text, "CC", "L")
            for text in ("L CC DR", "L CC w/o implant", "LT CC", "CCE", "CCE mag", "CCI", "craniocaudal_L")
        ),
        *((text, "CC", "L") for text in ("STANDARD SCREENING COMBO L CC", "Mammographie links CC", "L CC, Dr. Smith")),
        *((text, "MLO", "L") for text in ("\u5de6\u4fa7 MLO", "\u5de6\u5074MLO", "\u5de6\u4e73\u817a MLO", "MLO\\L")),
        *(
            (text, "MLO", "R")
            for text in ("\uc6b0\uce21\uc720\ubc29 MLO", "\uff8f\uff9d\uff93 R MLO", "\u53f3\u4e73 MLO")
        ),
        *((text, "", "R") for text in ("RT BREAST DIAG", "MAMMOGRAM RT", "RT", "\u53f3\u4fa7", "Brust rechts")),
    ],
)
def test_a_side_among_known_words_is_read(text: str, view: str, side: str) -> None:
    meaning = view_text_of(text)
    assert (meaning.views, meaning.sides) == ({view} - {""}, set(side))


@pytest.mark.parametrize(
    "text",
    [
        *("L/R CC", "R/L CC", "right/left CC", "R L CC", "left and right CC", "L MLO right arm up", "L MLO R/O mass"),
        *(
            "R CC, no L",
            "R CC - Dr. L. Smith",
            "L CC and R MLO",
            "RMLO vs LMLO",
            "Dr. L. Smith R MLO",
            "MLO R. L. Meyer",
        ),
    ],
)
def test_a_text_with_both_sides_anywhere_names_both(text: str) -> None:
    assert view_text_of(text).sides == {"L", "R"}


@pytest.mark.parametrize(
    ("name", "view", "side"),
    [
        *(("Smith-R-MLO", "MLO", "R"), ("P12-R-MLO-1", "MLO", "R"), ("1.2.840.1_R_MLO", "MLO", "R")),
        *(("Calc-Test_P_00038_LEFT_CC", "CC", "L"), ("A_1004_1.LEFT_CC.LJPEG", "CC", "L"), ("P1_L_DM_CC", "CC", "L")),
        *(
            ("anna_smith_craniocaudal_left", "CC", "L"),
            ("00000_20990909_L_CC_1", "CC", "L"),
            ("scan_L.CC.png", "CC", "L"),
        ),
        *(("Mary_L_Jones_MLO", "MLO", ""), ("MLO_R_Meyer", "MLO", ""), ("L-spine_MLO", "MLO", ""), ("exam_L", "", "")),
        *(
            ("no_left_mlo", "", ""),
            ("not_L_CC", "", ""),
            ("except_L_2_CC", "CC", ""),
            ("Linke_Anna_R_MLO", "MLO", "LR"),
        ),
    ],
)
def test_names_may_stand_before_view_and_side_in_the_name_of_a_file(name: str, view: str, side: str) -> None:
    meaning = view_text_of_name(name)
    assert (meaning.views, meaning.sides) == ({view} - {""}, set(side))


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        *(
            (text, "")
            for text in ("R/O", "R&D", "not left", "left arm", "non-left", "R?", "L-spine", "left implant", "RL")
        ),
        *(
            (text, "L")
            for text in ("L", "(L)", "LT.", "left breast", "linke Seite", "LMLO", "L MLO", "left-sided", "\\L")
        ),
        *((text, "LR") for text in ("L\\R", "left and right", "R/L", "right or left arm")),
        *((text, "B") for text in ("B", "both", "both breasts", "bilateral")),
    ],
)
def test_a_text_about_the_side_alone_names_it_by_known_words(text: str, sides: str) -> None:
    assert sides_of(text) == set(sides)
