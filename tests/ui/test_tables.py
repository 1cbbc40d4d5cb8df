from glam.client_answers import PromptAnswer
from glam.client_vectors import WordsAnswer
from glam_ui.tables import butterfly, words_table


def test_classes_keep_the_models_order_and_the_right_breast_is_on_the_left():
    table = butterfly("birads", {"L": {"2": 0.9, "0": 0.1}, "R": {"2": 0.25, "0": 0.75}}, calibrated=False)
    assert table.index("<th scope='row'>2</th>") < table.index("<th scope='row'>0</th>")
    row = table.partition("<th scope='row'>2</th>")
    assert row[0].endswith("<td class='glam-R'><i style='--glam-share:0.250'></i><b>25 %</b></td>")
    assert row[2].startswith("<td class='glam-L'><i style='--glam-share:0.900'></i><b>90 %</b></td>")
    assert "not calibrated" in table


def test_a_breast_without_an_image_says_so():
    table = butterfly("density", {"L": {"a": 1.0}}, calibrated=True)
    assert "<td class='glam-R'>no image</td>" in table
    assert "not calibrated" not in table


def test_sentences_are_escaped_and_unknown_words_named():
    match = PromptAnswer(similarity=0.125, probability=0.5, unknown_words=("<zebra>",))
    table = words_table([WordsAnswer(laterality="L", prompts={"a <b>zebra</b>": match}, prompt_set=None)])
    assert "<b>zebra" not in table
    assert "a &lt;b&gt;zebra&lt;/b&gt;" in table
    assert "50 % <small>+0.125</small>" in table
    assert "does not know: <bdi>&lt;zebra&gt;</bdi>." in table
