"""`glam-train`: prepare, pretrain, evaluate, import."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import AvoidSubcommands, FlagConversionOff, FlagCreatePairsOff, Positional, Suppress, arg, subcommand

from glam.settings import merged
from glam_train.command_line import Changes, WrongOption, read_settings, split_settings
from glam_train.commands import Evaluate, ImportOfficial, Prepare, PreparePhantoms, Presets, Pretrain, Provenance
from glam_train.config import PretrainConfig, changed_config
from glam_train.doctor import Doctor
from glam_train.presets import preset


@dataclass(frozen=True, kw_only=True)
class ImportOfficialFile(ImportOfficial):
    """Turn a Lightning checkpoint of the released code into a checkpoint folder; no code in the file is run."""

    checkpoint: Positional[Path]
    """The .ckpt file."""


@dataclass(frozen=True, kw_only=True)
class PresetsOf(Presets):
    """List the presets; of one, print its settings and what differs from its paper's, all as JSON."""

    name: Positional[str | None] = None
    """None: all their names, each with what it is."""


@dataclass(frozen=True, kw_only=True)
class PretrainOptions(Pretrain):
    """Pretrain on a prepared cache; prints the folder of the last checkpoint.

    Every setting of a run is an option too: `glam-train pretrain --preset NAME --help` lists them with the preset's
    values.
    """

    settings: Suppress[Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PretrainHelp(Pretrain):
    """Pretrain on a prepared cache; prints the folder of the last checkpoint."""

    settings: Annotated[FlagConversionOff[PretrainConfig], arg(name="")] = field(default_factory=PretrainConfig)  # type: ignore[assignment]


Command = (
    Annotated[Prepare, subcommand("prepare")]
    | Annotated[PreparePhantoms, subcommand("prepare-phantoms")]
    | Annotated[PresetsOf, subcommand("presets")]
    | Annotated[Doctor, subcommand("doctor")]
    | Annotated[PretrainOptions, subcommand("pretrain")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Provenance, subcommand("provenance")]
    | Annotated[ImportOfficialFile, subcommand("import-official")]
)
OWN = [option.name for option in fields(Pretrain) if option.name != "settings"]


def main(args: Sequence[str] | None = None) -> int:
    """Run a command: 0, 1 when it fails, 2 for a wrong command line."""
    arguments, settings = list(sys.argv[1:] if args is None else args), {}
    try:
        if arguments[:1] == ["pretrain"]:
            arguments, settings = split_settings(arguments, own=OWN)
            if {"-h", "--help"} & set(arguments):
                _show_settings(arguments, settings)
        command = tyro.cli(
            Command, prog="glam-train", description=__doc__, args=arguments, config=(FlagCreatePairsOff,)
        )
        (replace(command, settings=settings) if isinstance(command, Pretrain) else command).run()
    except ModuleNotFoundError as error:
        sys.stderr.write(f'{error.name} is not installed: pip install "glam-mammo[train]"\n')
        return 1
    except OSError as error:  # of a path that the user named
        path = f"{error.filename}: " if error.filename else ""
        sys.stderr.write(f"{path}{error.strerror or error}\n")
        return 1
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, WrongOption) else 1
    return 0


def _show_settings(arguments: Sequence[str], settings: Changes) -> None:
    """Print the help of `pretrain` with the values that the command line has so far, and exit."""
    values = _values(arguments)
    if "config" in values:
        settings = merged(read_settings(Path(values["config"])), settings)
    config = changed_config(preset(values.get("preset", "glam")), settings)
    shown = PretrainHelp(cache=tyro.MISSING, out=tyro.MISSING, preset=values.get("preset"), settings=config)
    flags = (FlagCreatePairsOff, AvoidSubcommands)
    tyro.cli(PretrainHelp, prog="glam-train pretrain", args=["--help"], default=shown, config=flags)


def _values(arguments: Sequence[str]) -> dict[str, str]:
    """Return the text after each option of a command line, by its name."""
    pairs = [(option, text) for option, text in zip(arguments, [*arguments[1:], ""], strict=True)]
    pairs += [tuple(argument.split("=", 1)) for argument in arguments if "=" in argument]  # type: ignore[misc]
    return {option.removeprefix("--"): text for option, text in pairs if option.startswith("--")}
