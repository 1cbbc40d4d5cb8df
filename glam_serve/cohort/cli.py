"""`glam-embed run | status | verify | export | scores | search | index | describe`: cohorts, and what is in them."""

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from glam_serve.cohort.describe_command import Describe
from glam_serve.cohort.index_command import Index
from glam_serve.cohort.run_command import Run
from glam_serve.cohort.search_command import Search


@dataclass(frozen=True, kw_only=True)
class Status:
    """Say how far a store is, and what became of every image: JSON on stdout."""

    store: Path
    """Folder that `glam-embed run` made."""

    def run(self) -> int:
        """Print the counts."""
        from glam.predict_command import print_json
        from glam.store.summary import summarise

        print_json(summarise(self.store).as_json())
        return 0


@dataclass(frozen=True, kw_only=True)
class Verify:
    """Check a store: footers, hashes, keys, lengths of vectors, and a fate for every image. Exit 1: it has problems."""

    store: Path
    """Folder that `glam-embed run` made."""

    def run(self) -> int:
        """Print what was found."""
        from glam.predict_command import print_json
        from glam.store.read import read_success
        from glam.store.verify import verify_store

        verdict = verify_store(self.store)
        print_json(verdict._asdict() | {"complete": read_success(self.store) is not None})
        return 1 if verdict.problems else 0


@dataclass(frozen=True, kw_only=True)
class Export:
    """Copy the embeddings of a store into a table that other programs read."""

    store: Path
    """Folder that `glam-embed run` made."""
    to: Literal["csv", "npy", "lance"] = "csv"
    """csv: a row an item with its keys and numbers. npy: the numbers alone, and their keys beside them in _keys.csv.
    lance: a Lance dataset of all columns, in place of one that is there."""
    out: Path | None = None
    """File or folder to write. None: embeddings.csv, embeddings.npy or embeddings.lance."""
    keep_local: bool = False
    """Export though the model's licence keeps its embeddings on this machine: the file will not leave it."""

    def run(self) -> int:
        """Write the file, and print where it is."""
        from glam.predict_command import print_json
        from glam_serve.cohort.export import export_csv, export_npy, refuse_sharing
        from glam_serve.cohort.lance_export import export_lance

        refuse_sharing(self.store, keep_local=self.keep_local)
        writers = {"csv": export_csv, "npy": export_npy, "lance": export_lance}
        written = writers[self.to](self.store, self.out or Path(f"embeddings.{self.to}"))
        print_json({"out": [str(path) for path in written]})
        return 0


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Write the probabilities of a store, with the codes of intake, as CSV; no embeddings."""

    store: Path
    """Folder that `glam-embed run` made."""
    out: Path = Path("scores.csv")
    """File to write."""

    def run(self) -> int:
        """Write the file, and print where it is."""
        from glam.predict_command import print_json
        from glam_serve.cohort.export import export_scores

        print_json({"out": [str(export_scores(self.store, self.out))]})
        return 0


Command = Run | Status | Verify | Export | Scores | Search | Index | Describe


def main() -> None:
    """Run the command line: 2 for one that cannot be read, 1 for what fails, and the codes of docs/cohort.md."""
    from glam.cli import missing_module, said
    from glam.predict_command import UsageError

    command = parse_command()
    logging.basicConfig(level=logging.WARNING, format="glam-embed: %(message)s", stream=sys.stderr)
    try:
        sys.exit(command.run())
    except (ValueError, OSError, RuntimeError) as error:
        sys.stderr.write(f"glam-embed: {said(error)}\n")
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except ModuleNotFoundError as error:
        extra = {"lance": "lance", "faiss": "index"}.get(error.name or "", "cohort")
        sys.exit(f"glam-embed: {missing_module(error, extra)}")


def parse_command() -> Command:
    """Return the command of sys.argv."""
    import tyro

    commands = {
        "run": Run,
        "status": Status,
        "verify": Verify,
        "export": Export,
        "scores": Scores,
        "search": Search,
        "index": Index,
        "describe": Describe,
    }
    config = (tyro.conf.PositionalRequiredArgs,)
    return tyro.extras.subcommand_cli_from_dict(commands, prog="glam-embed", description=__doc__, config=config)


if __name__ == "__main__":
    main()
