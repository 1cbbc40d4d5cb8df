"""The files of deploy/ and docs/operate.md: what they name is there."""

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import IO

import pytest
import tyro
import yaml

from glam.bundle import Bundle
from glam.client import Client
from glam.local_server import free_port, group_lives, wait_until_ready
from glam_serve.cli import Run
from glam_serve.limits import Limits, Workers
from glam_serve.listen.command import Listen
from glam_serve.metrics import make_metrics
from tests.samples.senders import SENDER, send

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
OPERATE = (ROOT / "docs" / "operate.md").read_text()
LIVE = {"glam_waiting", "glam_spooled_bytes", "glam_workers_ready", "glam_bundle_info"}
METRIC = re.compile(r"\bglam_(?!serve\b|keys\b)[a-z_]+")


def samples() -> set[str]:
    """Names of all samples that /metrics gives."""
    collected = {sample.name for metric in make_metrics().registry.collect() for sample in metric.samples}
    families = {metric.name for metric in make_metrics().registry.collect()}
    histograms = {f"{name}_{part}" for name in families for part in ("bucket", "sum", "count")}
    return collected | {f"{name}_total" for name in families} | histograms | LIVE


def flags() -> set[str]:
    """The flags of `glam-serve run`."""
    own = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(Run) if field.name != "limits"}
    return own | {f"--limits.{field.name.replace('_', '-')}" for field in dataclasses.fields(Limits)}


def used_flags(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def given_options(words: list[str]) -> dict[str, str]:
    """Options of a command line written as --name=value."""
    return dict(word.split("=", 1) for word in words if word.startswith("--") and "=" in word)


def expressions() -> list[str]:
    board = json.loads((DEPLOY / "grafana.json").read_text())
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_every_query_of_the_board_names_metrics_that_there_are():
    named = {name for expression in expressions() for name in METRIC.findall(expression)}
    assert named <= samples()


def test_the_board_shows_every_metric():
    shown = " ".join(expressions())
    families = {metric.name for metric in make_metrics().registry.collect()} | LIVE
    assert [name for name in families if name not in shown] == []


def test_the_labels_of_the_board_are_those_of_the_metrics():
    known = {"le", "route", "status", "stage", "kind", "code", "outcome", "name", "version", "bundle"}
    for expression in expressions():
        for group in re.findall(r"by \(([^)]*)\)", expression):
            assert {label.strip() for label in group.split(",")} <= known
        assert expression.count("(") == expression.count(")")


def test_the_panels_of_the_board_do_not_overlap():
    board = json.loads((DEPLOY / "grafana.json").read_text())
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in board["panels"]]
    assert len(set(places)) == len({panel["id"] for panel in board["panels"]}) == len(places)


def test_the_page_tells_every_metric_and_every_flag():
    families = {metric.name for metric in make_metrics().registry.collect()} | LIVE
    assert [name for name in families if name not in OPERATE] == []
    assert set(METRIC.findall(OPERATE)) <= samples() | families
    assert [flag for flag in flags() if f"`{flag}`" not in OPERATE] == []
    named = set(re.findall(r"`(--[a-z.-]+)`", OPERATE)) - {"--build-arg"}
    assert named <= flags()


@pytest.mark.parametrize("field", dataclasses.fields(Limits), ids=lambda field: field.name)
def test_the_page_gives_the_defaults_of_the_limits(field: dataclasses.Field):
    cell = f"| `--limits.{field.name.replace('_', '-')}` |"
    (row,) = [line for line in OPERATE.splitlines() if line.startswith(cell)]
    assert row.split("|")[2].strip() == f"{field.default:g}"


def test_the_compose_file_starts_the_server_with_flags_that_there_are_and_less_than_everything():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    server = compose["services"]["glam"]
    assert used_flags(server["command"]) <= flags()
    assert (server["read_only"], server["cap_drop"]) == (True, ["ALL"])
    assert "--port" not in used_flags(server["command"])  # the health check would not follow it
    assert all(port.rpartition(":")[2] == server["environment"]["GLAM_PORT"] for port in server["ports"])
    (tmpfs,) = server["tmpfs"]
    assert int(tmpfs.partition("size=")[2].partition("g")[0]) * 1024 > Limits().max_spool_mb
    assert int(server["stop_grace_period"].removesuffix("s")) > Limits().grace_s
    for service in compose["services"].values():
        assert set(service.get("secrets", ())) <= set(compose["secrets"])
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_compose_file_of_triton_asks_the_triton_that_it_starts_and_keeps_every_other_option():
    services = yaml.safe_load((DEPLOY / "compose-triton.yaml").read_text())["services"]
    server, triton = services["glam"], services["triton"]
    base = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["glam"]["command"]
    options = given_options(server["command"])
    assert options == given_options(base) | {"--runtime": "triton", "--triton-url": "grpc://triton:8001"}
    assert used_flags(server["command"]) <= flags()
    Workers(runtime="triton", triton_url=options["--triton-url"])
    assert "ports" not in triton
    (volume,) = triton["volumes"]
    assert volume.split(":")[1:] == [given_options(triton["command"])["--model-repository"], "ro"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    chosen = server["build"]["args"]["EXTRAS"].split(",")
    assert {"triton", "codecs"} == set(chosen) <= set(extras)
    assert "ARG EXTRAS=" in (ROOT / "Dockerfile").read_text()


def test_the_server_may_write_to_every_volume_of_the_compose_file():
    server = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["glam"]
    options = given_options(server["command"])
    folders = [volume.partition(":")[2] for volume in server["volumes"]]
    assert folders == [str(Path(options["--audit"]).parent)]
    for folder in folders:  # a volume over a folder that the image lacks belongs to root
        assert (
            f"install --directory --owner glam --group glam --mode 0700 {folder}\n" in (ROOT / "Dockerfile").read_text()
        )


def test_prometheus_asks_the_server_of_the_compose_file_with_a_key():
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    (job,) = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    assert target.split(":") == ["glam", compose["services"]["glam"]["environment"]["GLAM_PORT"]]
    assert job["authorization"]["credentials_file"].removeprefix("/run/secrets/") in compose["secrets"]


def unit(name: str = "glam-serve") -> dict[str, str]:
    lines = (DEPLOY / f"{name}.service").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def hardening(name: str) -> list[str]:
    """What a unit says of what its program may touch."""
    (block,) = re.findall(
        r"# What it may touch.*?\n(.*)\n\n\[Install\]", (DEPLOY / f"{name}.service").read_text(), re.DOTALL
    )
    return block.splitlines()


def test_the_unit_starts_the_server_with_flags_that_there_are_and_waits_for_its_end():
    words = unit()["ExecStart"].split()
    assert words[:2] == ["/opt/glam/bin/glam-serve", "run"]
    assert used_flags(words) <= flags()
    assert int(unit()["TimeoutStopSec"]) > Limits().grace_s
    assert unit()["KillMode"] == "mixed"  # the supervisor drains; its children get no signal before


def test_the_unit_of_the_listener_starts_it_as_its_page_says(tmp_path: Path):
    words = [word.replace("${STATE_DIRECTORY}", str(tmp_path)) for word in unit("glam-listen")["ExecStart"].split()]
    place = words.index("$PEERS")  # systemd makes words of it
    words[place : place + 1] = ["MAMMO1", "ARCHIVE"]
    assert words[:2] == ["/opt/glam/bin/glam-serve", "listen"]
    listen = tyro.cli(Listen, args=words[2:])
    listen._check()
    assert (listen.out, listen.peers, listen.url) == (tmp_path, ("MAMMO1", "ARCHIVE"), unit_url())
    assert int(unit("glam-listen")["TimeoutStopSec"]) > listen.timeout_s


def unit_url() -> str:
    """Where the server's own unit answers, from the same machine."""
    words = unit()["ExecStart"].split()
    return f"http://127.0.0.1:{words[words.index('--port') + 1]}"


def test_the_units_are_hardened_alike():
    assert hardening("glam-listen") == hardening("glam-serve")
    assert len(hardening("glam-serve")) > 20


@pytest.mark.parametrize("name", ["glam-serve", "glam-listen"])
def test_systemd_understands_the_units_and_calls_them_safe(name: str):
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze: apt-get install systemd")
    file = DEPLOY / f"{name}.service"
    verified = subprocess.run(["systemd-analyze", "verify", file], capture_output=True, text=True, check=False)
    complaints = [line for line in verified.stderr.splitlines() if "is not executable" not in line]
    assert complaints == []  # that the program is not installed here is no fault of the unit
    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", file],
        capture_output=True,
        text=True,
        check=True,
    )
    rating = re.search(r"Overall exposure level .*: ([0-9.]+)", rated.stdout)
    assert rating is not None
    assert float(rating[1]) < 2


def allowed_calls() -> set[str]:
    """System calls that the unit allows: its groups less those it takes away."""
    listing = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager"], capture_output=True, text=True, check=True
    )
    groups: dict[str, set[str]] = {}
    for block in listing.stdout.split("\n\n"):
        name, *lines = block.strip().splitlines() or [""]
        groups[name.strip()] = {line.strip() for line in lines if line.strip() and not line.strip().startswith("#")}

    def calls(group: str) -> set[str]:
        members = groups[group]
        return {call for member in members for call in (calls(member) if member.startswith("@") else {member})}

    lines = (DEPLOY / "glam-serve.service").read_text().splitlines()
    filters = [line.partition("=")[2] for line in lines if line.startswith("SystemCallFilter=")]
    allowed = calls("@default")
    for words in filters:
        for group in words.removeprefix("~").split():
            allowed = allowed - (calls(group) - calls("@default")) if words[0] == "~" else allowed | calls(group)
    return allowed


@pytest.mark.slow
def test_the_unit_allows_every_system_call_of_the_server(
    tmp_path: Path, random_bundle: Bundle, mammograms: dict[str, Path]
):
    for program in ("systemd-analyze", "strace"):
        if not shutil.which(program):
            pytest.skip(f"no {program}: apt-get install systemd strace")
    port, trace, log = free_port(0), tmp_path / "trace", tmp_path / "log"
    command = [sys.executable, "-m", "glam_serve.cli", "run", "--bundle", str(random_bundle.folder)]
    options = ["--port", str(port), "--audit", str(tmp_path / "audit"), "--threads", "2"]
    with log.open("wb") as stream:
        traced = ["strace", "-f", "-c", "-qq", "-o", str(trace), *command, *options]
        process = subprocess.Popen(traced, stderr=stream, start_new_session=True)
    try:
        wait_until_ready(process, port, log=log)
        Client(url=f"http://127.0.0.1:{port}", timeout_s=120).predict(cc=mammograms["L_CC"], prompts=["a mass"])
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        if group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    made = made_calls(trace)
    assert {"openat", "fdatasync", "flock"} <= made
    assert made - allowed_calls() - {"restart_syscall"} == set()


@pytest.mark.slow
def test_the_unit_allows_every_system_call_of_the_listener(tmp_path: Path, mammograms: dict[str, Path]):
    for program in ("systemd-analyze", "strace"):
        if not shutil.which(program):
            pytest.skip(f"no {program}: apt-get install systemd strace")
    port, trace = free_port(0), tmp_path / "trace"
    command = [sys.executable, "-m", "glam_serve.cli", "listen", "--out", str(tmp_path / "out"), "--peers", SENDER]
    options = ["--port", str(port), "--url", f"http://127.0.0.1:{free_port(0)}", "--quiet-s", "0"]
    traced = ["strace", "-f", "-c", "-qq", "-o", str(trace), *command, *options]
    process = subprocess.Popen(traced, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stderr is not None
    try:
        wait_for(process.stderr, "listens on port")
        assert send(port, mammograms["L_CC"]) == [0]
        wait_for(process.stderr, "the server does not answer now")
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 0
    finally:
        if group_lives(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
    made = made_calls(trace)
    assert {"listen", "fsync", "rename"} <= made
    of_root = {"fchown"}  # SQLite's, for files that others own
    assert made - allowed_calls() - {"restart_syscall"} - of_root == set()


def wait_for(stream: IO[str], text: str) -> None:
    """Read lines until one has a text in it."""
    assert any(text in line for line in stream), f"the end came before {text!r}"


def made_calls(trace: Path) -> set[str]:
    """System calls that strace counted."""
    rows = [line.split() for line in trace.read_text().splitlines()[2:-2]]
    return {row[-1] for row in rows if row}
