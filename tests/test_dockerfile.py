"""The serving image, as far as it can be judged without an engine: linted, parsed, and its steps replayed."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser

from glam.local_server import free_port, group_lives

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[1]


@pytest.fixture
def image(tmp_path: Path) -> DockerfileParser:
    shutil.copy(ROOT / "Dockerfile", tmp_path)
    return DockerfileParser(str(tmp_path))


def values(image: DockerfileParser, instruction: str) -> list[str]:
    return [step["value"] for step in image.structure if step["instruction"] == instruction]


def with_extras(image: DockerfileParser, command: str) -> str:
    """A command as it runs where no build argument says otherwise."""
    (default,) = [value.partition("=")[2] for value in values(image, "ARG") if value.startswith("EXTRAS=")]
    return command.replace("${EXTRAS}", default)


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
    commands = with_extras(image, " ".join(values(image, "RUN")))
    assert ".[serve,codecs]" in commands
    for word in ("torch", "[train]", "[export]", "[dev]", "[demo]"):
        assert word not in commands


def test_server_and_health_check_follow_one_setting_of_the_port(image: DockerfileParser):
    (port,) = values(image, "EXPOSE")
    assert image.envs["GLAM_PORT"] == port
    assert "'/readyz'" in health_check(image)[-1]
    command = json.loads(values(image, "ENTRYPOINT")[-1]) + json.loads(values(image, "CMD")[-1])
    for words in (command, health_check(image)):
        assert port not in " ".join(words)


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


def sent_to_the_builder(folder: Path) -> Path:
    """A copy of what .dockerignore lets through."""
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line.startswith("!"):
            source = ROOT / line[1:]
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            if source.is_dir():
                shutil.copytree(source, folder / source.name, ignore=ignored)
            else:
                folder.mkdir(parents=True, exist_ok=True)
                shutil.copy(source, folder)
    return folder


def installed(image: DockerfileParser, folder: Path) -> Path:
    """The image's environment: its own pip command, run from what the builder is sent into an empty environment.

    Without a network, what it depends on is this environment's; the project itself is not.
    """
    (command,) = [value for value in values(image, "RUN") if "python -m venv /opt/glam" in value]
    _, _, install = command.partition("/opt/glam/bin/pip ")
    environment = folder / "opt"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(environment / "bin" / "python"), "--disable-pip-version-check"]
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--quiet"]
    site = next((environment / "lib").glob("python*")) / "site-packages"
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run(
        [*pip, *shlex.split(with_extras(image, install)), *offline], cwd=sent_to_the_builder(folder / "src"), check=True
    )
    return environment


READ_ONLY = """
mount -t tmpfs tmpfs "$TMPDIR"
mountpoint -q /dev/shm || mount -t tmpfs tmpfs /dev/shm
mount -o remount,bind,ro /
cd "$TMPDIR"
exec "$@"
"""


def may_remount() -> bool:
    probe = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-o", "remount,bind,ro", "/"]
    return bool(shutil.which("unshare")) and subprocess.run(probe, capture_output=True, check=False).returncode == 0


@pytest.mark.slow
def test_what_the_image_installs_answers_on_a_read_only_root(image: DockerfileParser, tmp_path: Path):
    if not may_remount():
        pytest.skip("no user namespaces here: unshare --map-root-user --mount is not permitted")
    environment = installed(image, tmp_path)
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    words = json.loads(values(image, "ENTRYPOINT")[-1]) + json.loads(values(image, "CMD")[-1])
    words = [str(environment / "bin" / words[0]), *words[1:]]
    settings = {"PATH": f"{environment / 'bin'}:/usr/bin:/bin", "HOME": str(scratch), "TMPDIR": str(scratch)}
    settings |= {"GLAM_PORT": str(free_port(0)), "http_proxy": "http://127.0.0.1:9"}  # as Docker hands one on
    settings |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}
    isolated = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", READ_ONLY, "sh"]
    server = subprocess.Popen([*isolated, *words], env=settings, stderr=subprocess.PIPE, start_new_session=True)
    try:
        program, *script = health_check(image)
        check = [str(environment / "bin" / program), *script]
        deadline = time.monotonic() + 120
        while subprocess.run(check, env=settings, capture_output=True, check=False).returncode:
            assert server.poll() is None, server.stderr and server.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.5)
        elsewhere = subprocess.run(check, env=settings | {"GLAM_PORT": "9"}, capture_output=True, check=False)
        assert elsewhere.returncode != 0
        server.terminate()
        assert server.wait(60) == 0
        assert subprocess.run(check, env=settings, capture_output=True, check=False).returncode != 0
    finally:
        if group_lives(server.pid):
            os.killpg(server.pid, signal.SIGKILL)
        _, errors = server.communicate()
    assert b"Traceback" not in errors


def health_check(image: DockerfileParser) -> list[str]:
    """The command of HEALTHCHECK."""
    (check,) = values(image, "HEALTHCHECK")
    return json.loads(check.partition("CMD ")[2])
