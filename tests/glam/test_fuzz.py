import warnings

import numpy as np
import pytest
from pydicom import uid

from glam.config import FrameConfig
from glam.findings import CODES
from glam.reading.read import read_view
from tests.samples.elements import Element, File, seeds, written
from tests.samples.fuzzing import Outcome, outcomes, read_and_prepare
from tests.samples.mammograms import SYNTAXES, picture_files
from tests.samples.mutations import MUTATIONS, damaged

NUM_FILES = 300


def test_three_hundred_damaged_files_end_in_a_view_or_an_input_error() -> None:
    ends = {index: read_and_prepare(damaged(1, index)) for index in range(NUM_FILES)}
    assert set(ends.values()) <= {"view", *CODES}
    assert {"view", "truncated", "bad_value"} < set(ends.values())


@pytest.mark.slow
def test_workers_find_what_one_process_finds() -> None:
    found = sorted(outcomes(40, seed=2, num_workers=2))
    assert [one.index for one in found] == list(range(40))
    assert [one.code for one in found] == [read_and_prepare(damaged(2, index)) for index in range(40)]
    assert all(isinstance(one, Outcome) and one.took_s < 10 for one in found)


def test_the_same_numbers_give_the_same_file() -> None:
    assert [damaged(0, index) for index in range(20)] == [damaged(0, index) for index in range(20)]
    assert len({damaged(seed, 5) for seed in range(20)}) > 15


def test_every_file_to_start_from_is_whole() -> None:
    syntaxes = [file.syntax for file in seeds()]
    assert set(syntaxes) == set(SYNTAXES)
    for file in seeds():
        view = read_view(written(file), FrameConfig())
        assert view.provenance["transfer_syntax"] == uid.UID(file.syntax).name


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_every_mutation_changes_files(mutation: object) -> None:
    assert callable(mutation)
    rng = np.random.default_rng(0)
    changed = [written(mutation(rng, file)) != written(file) for file in seeds() for _ in range(3)]
    assert sum(changed) > 0.3 * len(changed)


def test_an_element_is_written_as_it_claims() -> None:
    file = File((Element(0x00280010, "US", b"\1\2", 7),), uid.ExplicitVRLittleEndian)
    assert written(file)[132:] == b"\x28\0\x10\0US\7\0\1\2"
    assert written(file._replace(syntax=uid.ExplicitVRBigEndian))[132:] == b"\0\x28\0\x10US\0\7\2\1"
    assert written(file._replace(syntax=uid.ImplicitVRLittleEndian))[132:] == b"\x28\0\x10\0\7\0\0\0\1\2"


def test_nothing_is_warned_of_while_damaged_files_are_read() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for index in range(100):
            read_and_prepare(damaged(3, index))
    assert caught == []


def test_whole_pictures_are_read() -> None:
    assert {read_and_prepare(data) for data in picture_files()} == {"view"}


def test_a_picture_with_a_cut_table_of_tags_raises_no_warning() -> None:
    narrow_tiff = picture_files()[5]
    assert narrow_tiff[:2] == b"II"
    for end in range(8, len(narrow_tiff), 7):
        assert read_and_prepare(narrow_tiff[:end]) in {"view", *CODES}
