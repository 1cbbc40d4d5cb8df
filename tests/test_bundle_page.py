"""docs/bundle.md is enough to use a bundle."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PAGE = Path(__file__).parents[1] / "docs" / "bundle.md"
IMAGES, ANSWER = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
REPORT = """
import sys
assert not {"glam", "torch", "pydicom", "cv2"} & set(sys.modules), "more than onnxruntime and numpy"
np.savez("answer.npz", embedding=embedding, **{name: weights[0] for name, weights in attention.items()},
         birads=list(probabilities["birads"].values()), density=list(probabilities["density"].values()))
"""


@pytest.fixture(scope="module")
def answered(random_bundle, mammograms, tmp_path_factory):
    """The folder in which both programs of the page ran, in this order."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "bundle").symlink_to(random_bundle.folder)
    for key in ("CC", "MLO"):
        (folder / f"{key}.dcm").symlink_to(mammograms[f"L_{key}"])
    for program in (IMAGES, ANSWER + REPORT):
        subprocess.run([sys.executable, "-W", "error::DeprecationWarning", "-c", program], cwd=folder, check=True)
    return folder


def test_the_page_s_program_gives_predict_s_answer(answered, predictor, mammograms):
    right = predictor.predict(mammograms["L_CC"], mammograms["L_MLO"])
    with np.load(answered / "answer.npz") as answer:
        np.testing.assert_allclose(answer["embedding"], right.embedding, atol=1e-6)
        np.testing.assert_allclose(answer["cc_to_mlo"], right.attention.cc_to_mlo, atol=1e-6)
        np.testing.assert_allclose(answer["pooling_mlo"], right.attention.pooling_mlo, atol=1e-6)
        np.testing.assert_allclose(answer["birads"], list(right.birads.values()), atol=1e-5)
        np.testing.assert_allclose(answer["density"], list(right.density.values()), atol=1e-5)


def test_the_page_names_every_file_and_every_key(random_bundle):
    page = PAGE.read_text()
    manifest = json.loads((random_bundle.folder / "bundle.json").read_text())
    for name in [*manifest, *(Path(name).parts[0] for name in manifest["files"])]:
        assert f"`{name}`" in page or f"`{name}/" in page, name
    assert f"`format` | {manifest['format']};" in page
