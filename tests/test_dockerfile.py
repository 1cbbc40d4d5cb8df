"""The serving image, as far as it can be judged without an engine: linted, and parsed for both accelerators."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

ROOT = Path(__file__).parents[1]


@pytest.fixture
def image(tmp_path: Path) -> DockerfileParser:
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    return DockerfileParser(str(tmp_path))


def values(image: DockerfileParser, instruction: str) -> list[str]:
    return [step["value"] for step in image.structure if step["instruction"] == instruction]


def test_the_linter_has_nothing_to_say():
    hadolint = Path(sys.executable).with_name("hadolint")
    outcome = subprocess.run([hadolint, "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stdout) == (0, "")


def test_the_server_runs_without_root(image: DockerfileParser):
    users = values(image, "USER")
    assert users
    assert users[-1].split(":")[0] not in {"root", "0"}
    after_user = image.structure[max(i for i, step in enumerate(image.structure) if step["instruction"] == "USER") :]
    assert not {"RUN", "COPY", "ADD"} & {step["instruction"] for step in after_user}


def test_every_base_image_has_a_version(image: DockerfileParser):
    bases = [value.partition(" AS ")[0] for value in values(image, "FROM")]
    outside = [base for base in bases if not base.startswith("serve-")]
    assert outside
    for base in outside:
        assert base.partition(":")[2] not in {"", "latest"}


def test_no_torch_and_no_training_goes_into_the_image(image: DockerfileParser):
    commands = " ".join(values(image, "RUN"))
    assert ".[serve,codecs]" in commands
    for word in ("torch", "[train]", "[export]", "[dev]", "[demo]"):
        assert word not in commands


def test_the_health_check_asks_whether_the_server_is_ready(image: DockerfileParser):
    (check,) = values(image, "HEALTHCHECK")
    (port,) = values(image, "EXPOSE")
    assert f"http://127.0.0.1:{port}/readyz" in check
    assert port in json.loads(values(image, "CMD")[-1])


def test_one_build_argument_chooses_between_two_final_images(image: DockerfileParser):
    stages = values(image, "FROM")
    names = {value.partition(" AS ")[2] for value in stages}
    assert stages[-1] == "serve-${ACCELERATOR}"
    assert {"serve-cpu", "serve-gpu"} <= names
    assert image.structure[[step["instruction"] for step in image.structure].index("ARG")]["value"] == "ACCELERATOR=cpu"


def test_the_gpu_runtime_replaces_the_cpu_runtime_at_the_same_version(image: DockerfileParser):
    (swap,) = [command for command in values(image, "RUN") if "onnxruntime-gpu" in command]
    assert swap.index("uninstall --yes onnxruntime ") < swap.index("onnxruntime-gpu[cuda,cudnn]==$version")


def test_nothing_that_looks_like_a_secret_is_set(image: DockerfileParser):
    settings = " ".join(values(image, "ENV") + values(image, "ARG")).lower()
    for word in ("key", "token", "secret", "password"):
        assert word not in settings


def test_the_builder_is_sent_every_package_and_little_else():
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sent == {
        "pyproject.toml", "constraints.txt", "README.md", "LICENSE", "glam", "glam_train", "glam_serve", "export", "ui"
    }  # fmt: skip
