import io
import json

import numpy as np
import pytest

from glam_serve.accept import npz, wants_npz


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/*", False),
        ("application/json", False),
        ("text/html", False),
        ("application/x-npz", True),
        ("Application/X-NPZ", True),
        ("application/x-npz, */*;q=0.1", True),
        ("application/x-npz;q=0.5, application/json", False),
        ("application/x-npz, application/json", False),
        ("application/x-npz;q=0.9,application/json;q=0.8", True),
        ("application/x-npz;q=0", False),
        ("*/*;q=1, application/x-npz;q=0.9", False),
        ("*/*;q=0.5, application/json;q=0.1", True),
        ("application/x-npz;q=much", False),
        ("application/x-npz; q=1.0; v=2", True),
        (",;,;q=", False),
    ],
)
def test_npz_is_sent_to_whoever_prefers_it_to_json(accept: str | None, expected: bool):
    assert wants_npz(accept) is expected


def test_the_json_comes_back_from_an_npz_without_pickle():
    answer = {"notice": "f\u00fcr", "views": [1, None]}
    with np.load(io.BytesIO(npz({"embedding": np.arange(3.0)}, answer)), allow_pickle=False) as arrays:
        assert json.loads(arrays["answer"].item()) == answer
        np.testing.assert_array_equal(arrays["embedding"], [0.0, 1.0, 2.0])
