"""`glam-train`: prepare, pretrain, evaluate, import."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, subcommand

from glam_train.commands import Evaluate, ImportOfficial, Prepare, PreparePhantoms, Pretrain, Provenance


@dataclass(frozen=True, kw_only=True)
class ImportOfficialFile(ImportOfficial):
    """Turn a Lightning checkpoint of the released code into a checkpoint folder; no code in the file is run."""

    checkpoint: Positional[Path]
    """The .ckpt file."""


Command = (
    Annotated[Prepare, subcommand("prepare")]
    | Annotated[PreparePhantoms, subcommand("prepare-phantoms")]
    | Annotated[Pretrain, subcommand("pretrain")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Provenance, subcommand("provenance")]
    | Annotated[ImportOfficialFile, subcommand("import-official")]
)


def main(args: Sequence[str] | None = None) -> int:
    """Run a command: 0, 1 when it fails, 2 (by tyro) for a wrong command line."""
    command = tyro.cli(Command, prog="glam-train", description=__doc__, args=args, config=(FlagCreatePairsOff,))
    try:
        command.run()
    except ModuleNotFoundError as error:
        sys.stderr.write(f'{error.name} is not installed: pip install "glam-mammo[train]"\n')
        return 1
    except OSError as error:  # of a path that the user named
        path = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"{path}{error.strerror or error}\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0
