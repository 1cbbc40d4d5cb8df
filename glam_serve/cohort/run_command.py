"""`glam-embed run`. Importing this costs nothing: what a run needs is imported when it runs."""

import re
import sys
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from glam.predict_command import UsageError, print_json

if TYPE_CHECKING:
    from glam.store.run_key import RunRecord
    from glam.store.summary import Summary
    from glam_serve.cohort.embed import Cohort
    from glam_serve.cohort.engines import Engine
    from glam_serve.cohort.ray_cluster import RayOptions
    from glam_serve.cohort.recipe import Recipe
    from glam_serve.pacs.survey import PacsQuery

SOME_FAILED, TOO_MANY_FAILED, DISK_FULL, SOURCE_GONE, INTERRUPTED = 3, 4, 5, 6, 130
"""Exit codes beside 0, 1 and 2."""
MOST_ITEMS = 1_000_000
"""Of a shard, whose rows are in memory together."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Embed a cohort into a store, every item exactly once. The same command again goes on where it was stopped.

    Exit codes: 0 all images are embedded or left out; 3 done, and some could not be used; 4 more of them than
    --max-errors; 5 the disk is full; 6 the PACS or object store is gone; 130 interrupted.
    """

    manifest: Path | None = None
    """CSV or Parquet file with a row an image (docs/train.md, section 1)."""
    folder: Path | None = None
    """Folder of mammograms, with folders in it, in place of a manifest."""
    root: str | None = None
    """Folder or URL (s3://BUCKET/PREFIX) that the paths of a manifest begin at. None: the folder that it is in."""
    dicomweb: str | None = None
    """Address of a PACS's DICOMweb service in place of both, such as https://pacs.example/dicom-web (docs/pacs.md)."""
    query: tuple[str, ...] = ()
    """Which of its studies: KEY=VALUE such as StudyDate=20240101-20241231, or @FILE with a line each."""
    auth_file: Path | None = None
    """JSON file of credentials for it. None: GLAM_DICOMWEB_USER and _PASSWORD, or _TOKEN, of the environment."""
    pacs_timeout_s: float = 180.0
    """Longest time for an answer of it, or for the images of an item, with everything that is tried again."""
    out: Path = Path("store")
    """Folder of the store, new or to go on with."""
    level: Literal["image", "breast", "exam"] = "breast"
    """What becomes a row."""
    bundle: Path | None = None
    """Folder that glam-export made. None: the demo bundle that comes with the package."""
    variant: str | None = None
    """Graphs of the bundle to answer by: portable, fused, int8, fp16, bf16. None: fused (CPU, CUDA), else portable."""
    provider: str = "CPUExecutionProvider"
    """ONNX Runtime's execution provider."""
    runtime: Literal["onnx", "torch", "triton"] = "onnx"
    """What runs the model: ONNX Runtime, the checkpoint that the bundle was exported from, or a Triton server."""
    checkpoint: Path | None = None
    """Folder of that checkpoint, for --runtime torch."""
    triton_url: str | None = None
    """Address of that Triton, which serves what `glam-export triton` wrote: grpc://HOST:8001 or http://HOST:8000."""
    threads: int | None = None
    """Threads of the model. None: all cores; of each actor one."""
    dtype: Literal["float32", "float16"] = "float32"
    """How the numbers of embeddings are kept."""
    aggregation: Literal["probabilities", "embeddings"] = "probabilities"
    """What of the views of a breast is averaged."""
    workers: int = 1
    """Processes that read files and prepare them for the one model."""
    timeout_s: float = 120.0
    """Longest time for the files of one item; then its images are among the errors."""
    engine: Literal["local", "ray"] = "local"
    """Where the work is done: in this process and those beside it, or by actors of a Ray cluster (docs/scale.md)."""
    address: str | None = None
    """Of the cluster: auto for the one that this machine is part of, ray://HOST:PORT. None: one is started here."""
    actors: int | None = None
    """Copies of the model in the cluster, each with its --workers. None: as many as there is room for."""
    num_cpus: float | None = None
    """Cores that the cluster keeps for an actor. None: --workers and, without a GPU, --threads."""
    num_gpus: float = 0
    """GPUs of an actor: 0.25 puts four of them on a GPU."""
    shard_size: int | None = None
    """Items that are committed together. None: 64 below 10,000 items, else 256."""
    max_errors: float | None = None
    """Share of the images, 0 to 1, above which images that could not be used make the exit code 4. None: any."""
    dry_run: bool = False
    """Write nothing: say what would be done, and how long it takes by the first few items."""

    def run(self) -> int:
        """Embed, print what became of every image, and return the exit code."""
        self._check()
        from glam_serve.cohort.decoders import InterruptedRun
        from glam_serve.cohort.embed import NoSpaceError, embed
        from glam_serve.cohort.estimate import estimate
        from glam_serve.cohort.faults import SourceGoneError
        from glam_serve.cohort.signals import stopped_by_signals

        stop = threading.Event()
        pacs = self._pacs()
        recipe = self._recipe(pacs)
        record = recipe.record
        self._check_source()
        if self.dry_run:
            runner = None if pacs else recipe.runner()
            try:
                print_json(estimate(self._cohort(pacs, stop), self.out, record, runner, self.shard_size))
            except SourceGoneError as error:
                return self._ended(str(error), SOURCE_GONE)
            return 0
        if not record.facts.may_share:
            sys.stderr.write(
                f"glam-embed: the embeddings in {self.out} must not leave this machine (may_share is false)\n"
            )

        def engine(of_store: "RunRecord") -> "Engine":
            return self._engine(replace(recipe, record=of_store))

        try:
            with stopped_by_signals(stop):
                find = partial(self._cohort, pacs, stop)
                summary = embed(find, self.out, record, engine, shard_size=self.shard_size, stop=stop)
        except InterruptedRun:
            return self._ended("interrupted: the same command goes on", INTERRUPTED)
        except NoSpaceError as error:
            return self._ended(error.strerror or str(error), DISK_FULL)
        except SourceGoneError as error:
            return self._ended(str(error), SOURCE_GONE)
        print_json(summary.as_json())
        return self._exit_code(summary)

    def _check(self) -> None:
        if sum(source is not None for source in (self.manifest, self.folder, self.dicomweb)) != 1:
            raise UsageError("give one of --manifest FILE, --folder DIR and --dicomweb URL")
        if self.root is not None and self.manifest is None:
            raise UsageError("--root is of --manifest")
        if self.dicomweb is None and (self.query or self.auth_file):
            raise UsageError("--query and --auth-file go with --dicomweb URL")
        if self.dicomweb is not None and self.engine != "local":
            raise UsageError("a PACS is asked by --engine local alone: fetch on one machine")
        if not 0 < self.pacs_timeout_s < 1e6:
            raise UsageError(f"--pacs-timeout-s {self.pacs_timeout_s:g} is not above 0 and below a million")
        self._check_numbers()

    def _check_numbers(self) -> None:
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/", str(self.out)):  # of a URL, Path keeps one stroke
            raise UsageError("--out is a folder: copy the store to an object store when it is done (docs/scale.md)")
        if self.engine == "local" and (self.address or self.actors or self.num_cpus is not None or self.num_gpus):
            raise UsageError("--address, --actors, --num-cpus and --num-gpus are of --engine ray")
        if self.engine == "ray":
            self._cluster()
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"--threads {self.threads} is not above 0")
        if self.shard_size is not None and not 1 <= self.shard_size <= MOST_ITEMS:
            raise UsageError(f"--shard-size {self.shard_size} is not from 1 to {MOST_ITEMS:,}")
        if self.max_errors is not None and not 0 <= self.max_errors <= 1:
            raise UsageError(f"--max-errors {self.max_errors} is not a share from 0 to 1")

    def _check_source(self) -> None:
        """ValueError where nothing is at the path of the cohort, before a folder is made for the store."""
        if self.folder is not None and not self.folder.is_dir():
            raise ValueError(f"no folder at {self.folder}: give the one that the mammograms are in")
        if self.manifest is not None and not self.manifest.is_file():
            raise ValueError(f"no file at {self.manifest}: give the table of the images")

    def _pacs(self) -> "PacsQuery | None":
        """Return what a PACS is asked for; UsageError for filters and credentials that do not read."""
        if self.dicomweb is None:
            return None
        from glam_serve.pacs.access import read_access
        from glam_serve.pacs.query import read_filters
        from glam_serve.pacs.survey import PacsQuery

        try:
            access, filters = read_access(self.dicomweb, self.auth_file), read_filters(self.query)
        except ValueError as error:
            raise UsageError(str(error)) from None
        return PacsQuery(access=access, filters=filters, timeout_s=self.pacs_timeout_s)

    def _cohort(self, pacs: "PacsQuery | None", stop: threading.Event) -> "Cohort":
        from glam_serve.cohort.sources import cohort_of_folder, cohort_of_manifest, cohort_of_pacs

        writes = not self.dry_run
        if pacs is not None:
            return cohort_of_pacs(pacs, self.out, self.level, stop, writes=writes)
        if self.folder is not None:
            return cohort_of_folder(self.folder, self.out, stop, writes=writes)
        assert self.manifest is not None, "one of the three is there"
        return cohort_of_manifest(self.manifest, self.root)

    def _recipe(self, pacs: "PacsQuery | None") -> "Recipe":
        from glam.bundle import DEMO_BUNDLE, read_bundle
        from glam.loading import with_variant
        from glam_serve.cohort.decoder import DecoderOptions
        from glam_serve.cohort.recipe import GROUP_SIZE, ModelOptions, Recipe, run_record

        threads = self.threads or (1 if self.engine == "ray" else None)
        ahead = 2 * GROUP_SIZE + self.workers
        try:
            model = ModelOptions(
                runtime=self.runtime,
                threads=threads,
                provider=self.provider,
                variant=self.variant,
                checkpoint=self.checkpoint and self.checkpoint.absolute(),
                triton_url=self.triton_url,
            )
            timeout_s = self.timeout_s + (pacs.timeout_s if pacs else 0.0)
            decoders = DecoderOptions(workers=self.workers, timeout_s=timeout_s, ahead=ahead)
        except ValueError as error:
            raise UsageError(str(error)) from None
        folder = (self.bundle or DEMO_BUNDLE).absolute()
        bundle = with_variant(read_bundle(folder), model.graphs, provider=self.provider)
        record = run_record(
            bundle, level=self.level, dtype=self.dtype, aggregation=self.aggregation, provider=model.provider_told
        )
        return Recipe(bundle=folder, variant=bundle.variant, record=record, model=model, decoders=decoders, pacs=pacs)

    def _engine(self, recipe: "Recipe") -> "Engine":
        if self.engine == "local":
            from glam_serve.cohort.engines import LocalEngine

            return LocalEngine(recipe.runner())
        from glam_serve.cohort.ray_engine import RayEngine

        return RayEngine(make_engine=recipe.runner, run_key=recipe.record.config.key, options=self._cluster())

    def _cluster(self) -> "RayOptions":
        from glam_serve.cohort.ray_cluster import RayOptions

        cpus = self.num_cpus
        if cpus is None:
            cpus = self.workers + (0 if self.num_gpus else self.threads or 1)
        try:
            return RayOptions(address=self.address, actors=self.actors, num_cpus=cpus, num_gpus=self.num_gpus)
        except ValueError as error:
            raise UsageError(str(error)) from None

    def _ended(self, message: str, code: int) -> int:
        """Say why a run ended early, print what is in the store, and return the exit code."""
        from glam.store.schema import StoreError
        from glam.store.summary import summarise

        sys.stderr.write(f"glam-embed: {message}\n")
        try:
            print_json(summarise(self.out).as_json())
        except StoreError:
            sys.stderr.write("glam-embed: nothing is in the store yet\n")
        return code

    def _exit_code(self, summary: "Summary") -> int:
        if self.max_errors is not None and summary.failed > self.max_errors * summary.images:
            share = f"{summary.failed} of {summary.images} images could not be used"
            sys.stderr.write(f"glam-embed: {share}, more than --max-errors {self.max_errors:g} allows\n")
            return TOO_MANY_FAILED
        from glam_serve.cohort.folder import NO_MAMMOGRAM

        damaged = summary.files_rejected.keys() - NO_MAMMOGRAM
        return SOME_FAILED if summary.failed or damaged else 0
