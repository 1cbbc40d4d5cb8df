"""Inference engines for an exported bundle, behind one Runtime protocol."""

import contextlib
import os
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from glam.bundle_files import ALIGNMENT, check_file
from glam.providers import CPU, TENSORRT, Profile, providers, shape_profile, way_to

if TYPE_CHECKING:
    import onnxruntime


class VisionOut(NamedTuple):
    """What the vision tower says of n views."""

    embedding: np.ndarray  # (n, joint), unit length
    patches: np.ndarray  # (n, patch, dim), row-major grid


class AlignOut(NamedTuple):
    """What the alignment module says of n pairs; the rows of every map sum to 1."""

    pooling_cc: np.ndarray  # (n, region, patch)
    pooling_mlo: np.ndarray  # (n, region, patch)
    cc_to_mlo: np.ndarray  # (n, col, row of the CC query, row in MLO)
    mlo_to_cc: np.ndarray  # (n, col, row of the MLO query, row in CC)


class EngineUnavailableError(RuntimeError):
    """The engine cannot be reached, or does not answer in time: the same question may be answered later."""

    code = "engine_unavailable"


class Runtime(Protocol):
    """float32 arrays in, float32 arrays out; safe to call from several threads."""

    @property
    def compares_views(self) -> bool:
        """Whether the model has an alignment module; `align` is a ValueError where it has none."""
        ...

    def vision(self, images: np.ndarray) -> VisionOut:
        """Embed n prepared views: (n, 1, S, S) in [0, 1]."""
        ...

    def align(self, patches_cc: np.ndarray, patches_mlo: np.ndarray) -> AlignOut:
        """Align n pairs of views: (n, patch, dim) each, from `vision`."""
        ...

    def text(self, token_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Embed n texts: int64 (n, token) each -> (n, joint), unit length."""
        ...

    def warm_up(self) -> None:
        """Load what would be loaded later, so that what is broken or missing is told now."""
        ...


class OnnxRuntime:
    """A bundle's graphs in ONNX Runtime; the text tower is loaded when the first text comes."""

    def __init__(
        self,
        folder: Path | str,
        *,
        threads: int | None = None,
        provider: str = CPU,
        file_hashes: Mapping[str, str] | None = None,
        variant: str | None = None,
    ) -> None:
        """Load vision, and alignment where there is one. `threads`: of one call; None: all cores.

        `file_hashes`: SHA-256 of the files of the folder; one that has another when it is loaded is a BundleError.
        `variant`: take the graphs that `variants/NAME` holds from there.
        """
        self._folder = Path(folder)
        self._variant = variant
        self._file_hashes = file_hashes or {}
        self._threads = threads
        self._provider = provider
        self._text: onnxruntime.InferenceSession | None = None
        self._lock = threading.Lock()
        self._vision = self._session("vision.onnx")
        self._alignment = self._session(ALIGNMENT) if self._holds(ALIGNMENT) else None

    @property
    def compares_views(self) -> bool:
        """Whether there is a graph of the alignment."""
        return self._alignment is not None

    @property
    def provider(self) -> str:
        """The engine's execution provider, as it is and not only as asked."""
        return self._vision.get_providers()[0]

    def vision(self, images: np.ndarray) -> VisionOut:
        """Embed n prepared views: (n, 1, S, S) in [0, 1]."""
        outputs = self._vision.run(["image_embedding", "patches"], {"image": _floats(images)})
        return VisionOut(*map(np.asarray, outputs))

    def align(self, patches_cc: np.ndarray, patches_mlo: np.ndarray) -> AlignOut:
        """Align n pairs of views: (n, patch, dim) each, from `vision`."""
        if self._alignment is None:
            raise ValueError(f"the model in {self._folder} does not compare its views: it has no {ALIGNMENT}")
        inputs = {"patches_cc": _floats(patches_cc), "patches_mlo": _floats(patches_mlo)}
        return AlignOut(*map(np.asarray, self._alignment.run(list(AlignOut._fields), inputs)))

    def text(self, token_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Embed n texts: int64 (n, token) each -> (n, joint), unit length."""
        inputs = {"token_ids": _integers(token_ids), "mask": _integers(mask)}
        (embedding,) = self._text_session().run(["text_embedding"], inputs)
        return np.asarray(embedding)

    def warm_up(self) -> None:
        """Load what would be loaded later, so that a file that is broken or missing is told now."""
        self._text_session()

    def _text_session(self) -> "onnxruntime.InferenceSession":
        with self._lock:
            if self._text is None:
                self._text = self._session("text.onnx")
            return self._text

    def _session(self, name: str) -> "onnxruntime.InferenceSession":
        place = self._place(name)
        for file in (place, f"{place}.data"):
            if file in self._file_hashes:
                check_file(self._folder / file, self._file_hashes[file])
        profile = _tensorrt_profile(self._folder / name) if self._provider == TENSORRT else None
        return onnx_session(self._folder / place, threads=self._threads, provider=self._provider, profile=profile)

    def _place(self, name: str) -> str:
        """Return where a graph lies in the folder: with the variant if that has it, else with the bundle's own."""
        candidate = f"variants/{self._variant}/{name}"
        return candidate if self._holds(candidate) else name

    def _holds(self, name: str) -> bool:
        """Say whether a file is one of the folder's: by the list of a bundle, where there is one."""
        return name in self._file_hashes if self._file_hashes else (self._folder / name).is_file()


def onnx_session(
    path: Path, *, threads: int | None = None, provider: str = CPU, profile: Profile | None = None
) -> "onnxruntime.InferenceSession":
    """Load a graph; a ValueError when the provider asked for is not the one that will run it.

    `profile`: the shapes that TensorRT builds its engine for; GLAM_ENGINE_CACHE names the folder that keeps engines.
    """
    if threads is not None and threads < 1:
        raise ValueError(f"threads {threads} is not above 0: leave it out for all cores")
    if not path.is_file():
        raise ValueError(f"no graph at {path}: make a bundle with glam-export onnx")
    switch_telemetry_off()
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # where the caller had imported it before
    onnxruntime.set_default_logger_severity(3)  # errors only
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise ValueError(f"{provider} is not in this onnxruntime ({', '.join(available)}): {way_to(provider)}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = threads or 0
    if path.with_name(f"{path.name}.data").exists():
        # Weights beside the graph are mapped into memory and shared by all workers, unless packing copies them.
        options.add_session_config_entry("session.disable_prepacking", "1")
    asked = providers(provider, profile=profile, cache=os.environ.get("GLAM_ENGINE_CACHE"))
    with contextlib.redirect_stdout(sys.stderr):  # where a GPU does not start it prints, and that place is for answers
        if provider != CPU:
            preload = getattr(onnxruntime, "preload_dlls", None)  # since 1.21
            if preload is not None:  # CUDA's libraries lie where pip put them
                preload()
        session = onnxruntime.InferenceSession(path, sess_options=options, providers=asked)
    if session.get_providers()[0] != provider:  # a provider that does not start is dropped without an error
        raise ValueError(
            f"{provider} did not start, and {session.get_providers()[0]} took its place: {way_to(provider)}"
        )
    return session


def engine_version() -> str:
    """Return the version of ONNX Runtime, whichever of its packages is installed (onnxruntime, onnxruntime-gpu)."""
    switch_telemetry_off()
    import onnxruntime

    return str(onnxruntime.__version__)


def switch_telemetry_off() -> None:
    """Keep ONNX Runtime from sending telemetry and from writing a device id below the home folder.

    It reads the variable once, when it is first imported: whatever of ours imports it calls this first.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"


def _tensorrt_profile(path: Path) -> Profile:
    """Return the shapes to build a graph's engine for: batches up to 8, texts up to 512 tokens."""
    inputs = {entry.name: entry.shape for entry in onnx_session(path, threads=1).get_inputs()}
    return shape_profile(inputs, batch=(1, 2, 8), tokens=(1, 64, 512))


def _floats(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)


def _integers(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.int64)
