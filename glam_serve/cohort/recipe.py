"""What a Runner is made of, as one process tells it to another."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glam.bundle import PORTABLE, Bundle, BundleError, read_bundle
from glam.prediction import NOTICE
from glam.runtime import CPU
from glam.store.run_key import RunConfig, RunFacts, RunRecord
from glam.store.schema import DType, Level
from glam.triton.endpoint import parse_endpoint

if TYPE_CHECKING:
    from glam.loading import RuntimeKind
    from glam.runtime import Runtime
    from glam_serve.cohort.decoder import DecoderOptions
    from glam_serve.cohort.runner import Runner
    from glam_serve.pacs.survey import PacsQuery


GROUP_SIZE = 8
"""Items that run through the model together."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What runs the model."""

    runtime: "RuntimeKind" = "onnx"
    threads: int | None = None
    provider: str = CPU
    """Of ONNX Runtime."""
    variant: str | None = None
    """Of the bundle's graphs, as it was asked for; the other runtimes have the portable ones alone."""
    checkpoint: Path | None = None
    """Of torch."""
    triton_url: str | None = None

    def __post_init__(self) -> None:
        """Refuse what would be without effect: a store says by what its rows were made."""
        if (self.runtime == "torch") != (self.checkpoint is not None):
            raise ValueError("--runtime torch and --checkpoint DIR go together")
        if (self.runtime == "triton") != (self.triton_url is not None):
            raise ValueError("--runtime triton and --triton-url URL go together")
        if self.triton_url is not None:
            parse_endpoint(self.triton_url)
        if self.runtime != "onnx" and (self.provider != CPU or self.variant not in (None, PORTABLE)):
            raise ValueError(f"--provider and --variant are of --runtime onnx, not of {self.runtime}")

    @property
    def graphs(self) -> str | None:
        """The variant to open; None: which is best."""
        return self.variant if self.runtime == "onnx" else PORTABLE

    @property
    def provider_told(self) -> str:
        """The name that the run key has: of ONNX Runtime's provider, or of what runs the model in its place."""
        return self.provider if self.runtime == "onnx" else self.runtime

    def open(self, bundle: Bundle) -> "Runtime":
        """Open the model; ValueError says what is missing."""
        from glam.loading import open_runtime

        return open_runtime(
            bundle,
            self.runtime,
            threads=self.threads,
            provider=self.provider,
            checkpoint=self.checkpoint,
            url=self.triton_url,
        )


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A bundle, by its folder, and how it is run: what every machine needs to make the same rows."""

    bundle: Path
    variant: str
    record: RunRecord
    model: ModelOptions
    decoders: "DecoderOptions"
    pacs: "PacsQuery | None" = None
    """Where the images come from; None: files and object stores."""

    def runner(self) -> "Runner":
        """Open the bundle and return its Runner; BundleError `bundle_changed` where the folder has another one."""
        from glam.loading import with_variant
        from glam_serve.cohort.runner import Runner

        bundle = with_variant(read_bundle(self.bundle), self.variant, provider=self.model.provider)
        if bundle.sha256 != self.record.config.bundle:
            way_out = "every machine needs the same one at this path"
            raise BundleError("bundle_changed", f"{self.bundle} is not the bundle of this run: {way_out}")
        prepare = None
        if self.pacs is not None:
            from glam_serve.pacs.fetch import PacsItems

            prepare = PacsItems(access=self.pacs.access, config=bundle.model.frame, timeout_s=self.pacs.timeout_s)
        return Runner(bundle, self.model.open(bundle), self.record, self.decoders, prepare)


def run_record(
    bundle: Bundle,
    *,
    level: Level,
    dtype: DType,
    aggregation: Literal["probabilities", "embeddings"],
    provider: str,
) -> RunRecord:
    """Return what run.json says of a run with a bundle."""
    config = RunConfig(
        bundle=bundle.sha256,
        variant=bundle.variant,
        prepare_sha=bundle.prepare_sha,
        level=level,
        dtype=dtype,
        aggregation=aggregation,
        group_size=GROUP_SIZE,
        provider=provider,
    )
    facts = RunFacts(
        glam_version=version("glam-mammo"),
        bundle_name=bundle.name,
        bundle_version=bundle.version,
        classes={task: list(names) for task, names in bundle.classes.items()},
        dim=bundle.model.joint_dim,
        may_share=bundle.may_share,
        licence=str(bundle.provenance.get("licence") or "not stated"),
        notice=NOTICE,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return RunRecord(config=config, facts=facts)
