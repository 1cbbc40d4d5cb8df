"""`glam-embed run`. Importing this costs nothing: what a run needs is imported when it runs."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

from glam.predict_command import UsageError, print_json

if TYPE_CHECKING:
    from glam.bundle import Bundle
    from glam.store.run_key import RunRecord
    from glam.store.summary import Summary
    from glam_serve.cohort.decoders import DecoderOptions
    from glam_serve.cohort.embed import Cohort
    from glam_serve.cohort.engines import Engine
    from glam_serve.cohort.runner import Runner
    from glam_serve.pacs.survey import PacsQuery

GROUP_SIZE = 8
"""Items that run through the model together."""
SOME_FAILED, TOO_MANY_FAILED, DISK_FULL, SOURCE_GONE, INTERRUPTED = 3, 4, 5, 6, 130
"""Exit codes beside 0, 1 and 2."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """Embed a cohort into a store, every item exactly once. The same command again goes on where it was stopped.

    Exit codes: 0 all images are embedded or left out; 3 done, and some could not be used; 4 more of them than
    --max-errors; 5 the disk is full; 6 the PACS is gone; 130 interrupted.
    """

    manifest: Path | None = None
    """CSV or Parquet file with a row an image (docs/train.md, section 1)."""
    folder: Path | None = None
    """Folder of mammograms, with folders in it, in place of a manifest."""
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
    """Graphs of the bundle to answer by: portable, fused, int8, fp16, bf16. None: fused where there, else portable."""
    provider: str = "CPUExecutionProvider"
    """ONNX Runtime's execution provider."""
    threads: int | None = None
    """Threads of the model. None: all cores."""
    dtype: Literal["float32", "float16"] = "float32"
    """How the numbers of embeddings are kept."""
    aggregation: Literal["probabilities", "embeddings"] = "probabilities"
    """What of the views of a breast is averaged."""
    workers: int = 1
    """Processes that read files and prepare them for the one model."""
    timeout_s: float = 120.0
    """Longest time for the files of one item; then its images are among the errors."""
    shard_size: int | None = None
    """Items that are committed together. None: 64 below 10,000 items, else 256."""
    max_errors: float | None = None
    """Share of the images, 0 to 1, above which images that could not be used make the exit code 4. None: any."""
    dry_run: bool = False
    """Write nothing: say what would be done, and how long it takes by the first few items."""

    def run(self) -> int:
        """Embed, print what became of every image, and return the exit code."""
        self._check()
        from glam.bundle import DEMO_BUNDLE, read_bundle
        from glam.loading import with_variant
        from glam_serve.cohort.decoders import DecoderOptions, InterruptedRun
        from glam_serve.cohort.embed import NoSpaceError, embed
        from glam_serve.cohort.estimate import estimate
        from glam_serve.cohort.items import SourceGoneError

        stop = threading.Event()
        pacs = self._pacs()
        try:
            ahead = 2 * GROUP_SIZE + self.workers
            timeout_s = self.timeout_s + (pacs.timeout_s if pacs else 0.0)
            options = DecoderOptions(workers=self.workers, timeout_s=timeout_s, ahead=ahead)
        except ValueError as error:
            raise UsageError(str(error)) from None
        bundle = with_variant(read_bundle(self.bundle or DEMO_BUNDLE), self.variant, provider=self.provider)
        record = self._record(bundle)
        if self.dry_run:
            runner = None if pacs else self._runner(bundle, record, options, pacs)
            print_json(estimate(self._cohort(pacs, stop), self.out, record, runner, self.shard_size))
            return 0
        if not bundle.may_share:
            sys.stderr.write(
                f"glam-embed: the embeddings in {self.out} must not leave this machine (may_share is false)\n"
            )

        def engine(of_store: "RunRecord") -> "Engine":
            from glam_serve.cohort.engines import LocalEngine

            return LocalEngine(self._runner(bundle, of_store, options, pacs))

        def cohort() -> "Cohort":
            return self._cohort(pacs, stop)

        try:
            with stopped_by_signals(stop):
                summary = embed(cohort, self.out, record, engine, shard_size=self.shard_size, stop=stop)
        except InterruptedRun:
            return self._ended("interrupted: the same command goes on", INTERRUPTED)
        except NoSpaceError as error:
            return self._ended(error.strerror or str(error), DISK_FULL)
        except SourceGoneError as error:
            return self._ended(f"{error}; then the same command goes on", SOURCE_GONE)
        print_json(summary.as_json())
        return self._exit_code(summary)

    def _check(self) -> None:
        if sum(source is not None for source in (self.manifest, self.folder, self.dicomweb)) != 1:
            raise UsageError("give one of --manifest FILE, --folder DIR and --dicomweb URL")
        if self.dicomweb is None and (self.query or self.auth_file):
            raise UsageError("--query and --auth-file go with --dicomweb URL")
        if not 0 < self.pacs_timeout_s < 1e6:
            raise UsageError(f"--pacs-timeout-s {self.pacs_timeout_s:g} is not above 0 and below a million")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"--threads {self.threads} is not above 0")
        if self.shard_size is not None and self.shard_size < 1:
            raise UsageError(f"--shard-size {self.shard_size} is not above 0")
        if self.max_errors is not None and not 0 <= self.max_errors <= 1:
            raise UsageError(f"--max-errors {self.max_errors} is not a share from 0 to 1")

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
        from glam.manifest.table import read_manifest
        from glam.store.schema import SALT_FILE
        from glam_serve.cohort.embed import Cohort
        from glam_serve.cohort.folder import SALT_BYTES, folder_cohort, store_salt

        if self.manifest is None:
            is_new = self.dry_run and not (self.out / SALT_FILE).exists()
            salt = bytes(SALT_BYTES) if is_new else store_salt(self.out)
            if self.folder is not None:
                return folder_cohort(self.folder, self.out, salt)
            from glam_serve.pacs.cohort import pacs_cohort

            assert pacs is not None, "one of the three is there"
            return pacs_cohort(pacs, self.out, salt, level=self.level, stop=stop, writes=not self.dry_run)
        manifest = self.manifest.absolute()
        return Cohort(images=read_manifest(manifest), root=manifest.parent)

    def _record(self, bundle: "Bundle") -> "RunRecord":
        from datetime import UTC, datetime
        from importlib.metadata import version

        from glam.prediction import NOTICE
        from glam.store.run_key import RunConfig, RunFacts, RunRecord

        config = RunConfig(
            bundle=bundle.sha256,
            variant=bundle.variant,
            prepare_sha=bundle.prepare_sha,
            level=self.level,
            dtype=self.dtype,
            aggregation=self.aggregation,
            group_size=GROUP_SIZE,
            provider=self.provider,
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

    def _runner(
        self, bundle: "Bundle", record: "RunRecord", options: "DecoderOptions", pacs: "PacsQuery | None"
    ) -> "Runner":
        from glam.loading import open_runtime
        from glam_serve.cohort.runner import Runner

        prepare = None
        if pacs is not None:
            from glam_serve.pacs.fetch import PacsItems

            prepare = PacsItems(access=pacs.access, config=bundle.model.frame, timeout_s=pacs.timeout_s)
        runtime = open_runtime(bundle, threads=self.threads, provider=self.provider)
        return Runner(bundle, runtime, record, options, prepare)

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


@contextmanager
def stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Set `stop` at the first Ctrl-C, SIGTERM or closed terminal; the second one ends the program as usual.

    What the caller had this program ignore, as nohup does with a closed terminal, it still ignores.
    """
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    usual = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}

    def tell(number: int, frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, usual[signal.Signals(number)])

    for number in usual:
        signal.signal(number, tell)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
