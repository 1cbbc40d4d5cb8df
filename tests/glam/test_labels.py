from glam.words.labels import (
    BIRADS_3,
    BIRADS_5,
    BIRADS_7,
    BIRADS_NAMES,
    DEFAULT_CLASSES,
    DENSITY,
    class_index,
    class_names,
)


def test_index_is_the_position_among_the_classes():
    assert [class_index(label, BIRADS_5) for label in (1, 5)] == [0, 4]
    assert class_index("d", DENSITY) == 3


def test_a_label_that_is_no_class_has_no_index():
    assert class_index(4, BIRADS_3) is None
    assert class_index(0, BIRADS_5) is None
    assert class_index(None, BIRADS_7) is None
    assert class_index("", DENSITY) is None


def test_class_names_are_the_keys_of_an_answer():
    assert class_names(BIRADS_3) == ("0", "1", "2")
    assert class_names(DENSITY) == ("a", "b", "c", "d")


def test_every_category_has_a_name():
    assert tuple(BIRADS_NAMES) == BIRADS_7
    assert {len(DEFAULT_CLASSES[task]) for task in ("cancer", "mass")} == {2}
