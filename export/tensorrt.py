"""TensorRT engines of a bundle: the commands that build them, and TensorRT-RTX's own builder where it is installed."""

import importlib.util
import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

import onnx

from glam.bundle import Bundle
from glam.files import JsonDict
from glam.providers import Profile, shape_profile, shapes_text

SCRIPT = "build-engines.sh"
BUILDER = "tensorrt_rtx_bindings"
HALF_VARIANTS = ("fp16", "bf16")
_HEADER = """\
#!/bin/sh
# Builds the TensorRT engines of {name} {version} (bundle {sha256}).
# An engine is of one kind of GPU and one version of TensorRT: run this on the machine that will serve.
set -eu
cd "$(dirname "$0")"
"""


class Batches(NamedTuple):
    """Images or pairs in a batch: at least, most often, at most."""

    least: int = 1
    usual: int = 2
    most: int = 8


class EnginePlan(NamedTuple):
    """A graph, and the shapes that its engine takes."""

    graph: Path
    profile: Profile


def engine_plans(bundle: Bundle, variant: str, batches: Batches) -> list[EnginePlan]:
    """Return a plan a graph. ValueError for a variant that TensorRT does not take, or batches in disorder.

    `variant`: "portable", "fp16" or "bf16".
    """
    if not 1 <= batches.least <= batches.usual <= batches.most:
        raise ValueError(f"batches {tuple(batches)} are not least <= usual <= most, from 1")
    if variant not in ("portable", *HALF_VARIANTS):
        raise ValueError(f"TensorRT takes no {variant} graphs: choose portable, fp16 or bf16")
    longest = bundle.model.text.max_tokens
    tokens = (1, min(64, longest), longest)
    return [
        EnginePlan(path, shape_profile(_input_shapes(path), batch=batches, tokens=tokens))
        for path in (_graph(bundle, variant, name) for name in bundle.graphs)
    ]


def trtexec_command(plan: EnginePlan, engine: Path) -> list[str]:
    """Return the command line that builds an engine. The types are those of the graph."""
    names = ("--minShapes", "--optShapes", "--maxShapes")
    shapes = [f"{name}={shapes_text(part)}" for name, part in zip(names, plan.profile, strict=True)]
    return ["trtexec", f"--onnx={plan.graph}", f"--saveEngine={engine}", "--stronglyTyped", *shapes]


def write_script(bundle: Bundle, plans: list[EnginePlan], out: Path) -> Path:
    """Write the script that builds every engine beside itself."""
    out.mkdir(parents=True, exist_ok=True)
    lines = [_HEADER.format(name=_plain(bundle.name), version=_plain(bundle.version), sha256=bundle.sha256)]
    for plan in plans:
        plan = plan._replace(graph=plan.graph.resolve())
        lines.append(f"{shlex.join(trtexec_command(plan, Path(plan.graph.stem + '.engine')))}\n")
    script = out / SCRIPT
    script.write_text("".join(lines))
    script.chmod(0o755)
    return script


def has_builder() -> bool:
    """Say whether TensorRT-RTX is installed."""
    return importlib.util.find_spec(BUILDER) is not None


def build_engine(plan: EnginePlan, engine: Path) -> JsonDict:
    """Parse a graph and build its engine with TensorRT-RTX, without a GPU; ValueError names what failed."""
    trt: Any = importlib.import_module(BUILDER)
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(str(plan.graph)):
        errors = "; ".join(parser.get_error(index).desc() for index in range(parser.num_errors))
        raise ValueError(f"TensorRT-RTX does not parse {plan.graph}: {errors}")
    profile = builder.create_optimization_profile()
    for name in plan.profile.least:
        profile.set_shape(name, *(part[name] for part in plan.profile))
    config = builder.create_builder_config()
    config.add_optimization_profile(profile)
    serialised = builder.build_serialized_network(network, config)
    if serialised is None:
        raise ValueError(f"TensorRT-RTX builds no engine of {plan.graph}: what it says stands above")
    engine.write_bytes(serialised)
    return {"graph": plan.graph.name, "layers": network.num_layers, "engine_bytes": engine.stat().st_size}


def build_all(plans: list[EnginePlan], out: Path) -> list[JsonDict]:
    """Build every engine with TensorRT-RTX, and return what was built."""
    built = []
    for plan in plans:
        sys.stderr.write(f"{plan.graph}: building\n")
        built.append(build_engine(plan, out / f"{plan.graph.stem}.rtx.engine"))
    return built


def _graph(bundle: Bundle, variant: str, name: str) -> Path:
    if variant != "portable" and variant not in bundle.variants:
        way_out = f"glam-export quantise {bundle.folder} --variant {variant}"
        raise ValueError(f"{bundle.folder} has no variant {variant}: {way_out}")
    has_own = variant != "portable" and name in bundle.variants[variant]["graphs"]
    return bundle.folder / "variants" / variant / name if has_own else bundle.folder / name


def _input_shapes(path: Path) -> dict[str, list[int | str]]:
    graph = onnx.load(path, load_external_data=False).graph
    return {
        entry.name: [dim.dim_value or dim.dim_param for dim in entry.type.tensor_type.shape.dim]
        for entry in graph.input
    }


def _plain(text: str) -> str:
    """Return a name in one line, for a comment."""
    return " ".join(text.split())
