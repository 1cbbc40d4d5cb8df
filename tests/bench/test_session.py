import argparse

import pytest

from bench import session
from glam.bundle import DEMO_BUNDLE

GRAPH = DEMO_BUNDLE / "vision.onnx"


@pytest.mark.parametrize("name", session.OPTIONS)
def test_every_option_is_one_that_the_runtime_takes(name):
    opened = session.open_session(GRAPH, 1, session.OPTIONS[name])
    for attribute, value in session.OPTIONS[name].items():
        if attribute == "config":
            for entry, text in value.items():
                assert opened.get_session_options().get_session_config_entry(entry) == text
        else:
            assert int(getattr(opened.get_session_options(), attribute)) == value


def test_memory_is_flat_over_requests_of_mixed_batch_sizes():
    arguments = argparse.Namespace(graph=GRAPH, threads=1, requests=60)
    assert session.in_process("growth", arguments) < 10


def test_measures_are_of_this_graph():
    arguments = argparse.Namespace(graph=GRAPH, threads=1, requests=0)
    measured = session.in_process("glam", arguments)
    assert set(measured) == set(session.MEASURES)
    assert all(value > 0 for value in measured.values())
