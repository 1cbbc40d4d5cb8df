"""`glam-train`: prepare, pretrain, evaluate, import."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import AvoidSubcommands, FlagConversionOff, FlagCreatePairsOff, Positional, Suppress, arg, subcommand

from glam.settings import merged, nearest
from glam_train.command_line import Changes, WrongOption, read_settings, split_settings
from glam_train.commands import (
    Doctor,
    Evaluate,
    ImportOfficial,
    Params,
    Prepare,
    PreparePhantoms,
    Presets,
    Pretrain,
    Provenance,
)
from glam_train.config import PretrainConfig, changed_config
from glam_train.presets import PRESETS, preset

FRAME = "model.frame."
"""How the names of the settings of a frame begin."""


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
class PrepareOptions(Prepare):
    """Prepare the CC/MLO pairs of a manifest into a cache; prints their number.

    The settings of the frame (`--model.frame.size` and others) are options too, as those of `pretrain`.
    """

    settings: Suppress[Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PreparePhantomsOptions(PreparePhantoms):
    """Draw phantoms and prepare them into a cache; prints their number.

    The settings of the frame (`--model.frame.size` and others) are options too, as those of `pretrain`.
    """

    settings: Suppress[Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PretrainHelp(Pretrain):
    """Pretrain on a prepared cache; prints the folder of the last checkpoint."""

    settings: Annotated[FlagConversionOff[PretrainConfig], arg(name="")] = field(default_factory=PretrainConfig)  # type: ignore[assignment]


Command = (
    Annotated[PrepareOptions, subcommand("prepare")]
    | Annotated[PreparePhantomsOptions, subcommand("prepare-phantoms")]
    | Annotated[PresetsOf, subcommand("presets")]
    | Annotated[Doctor, subcommand("doctor")]
    | Annotated[Params, subcommand("params")]
    | Annotated[PretrainOptions, subcommand("pretrain")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Provenance, subcommand("provenance")]
    | Annotated[ImportOfficialFile, subcommand("import-official")]
)
SETTINGS = {"pretrain": (Pretrain, ""), "prepare": (Prepare, FRAME), "prepare-phantoms": (PreparePhantoms, FRAME)}
"""Commands that take settings of a run as options, and how the names of those begin."""


def main(args: Sequence[str] | None = None) -> int:
    """Run a command: 0, 1 when it fails, 2 for a wrong command line, 130 when it is interrupted."""
    arguments, settings = list(sys.argv[1:] if args is None else args), {}
    try:
        if arguments and arguments[0] in SETTINGS:
            command_class, within = SETTINGS[arguments[0]]
            own = [option.name for option in fields(command_class) if option.name != "settings"]
            arguments, settings = split_settings(arguments, own=own, within=within)
            if command_class is Pretrain and {"-h", "--help"} & set(arguments):
                _show_settings(arguments, settings)
        _check_preset(arguments)
        command = tyro.cli(
            Command, prog="glam-train", description=__doc__, args=arguments, config=(FlagCreatePairsOff,)
        )
        if isinstance(command, Pretrain | Prepare | PreparePhantoms):
            command = replace(command, settings=settings)
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
        return getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
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


def _check_preset(arguments: Sequence[str]) -> None:
    """Raise WrongOption for a preset that there is not, with the nearest that there is."""
    name = _values(arguments).get("preset", "None")
    if name not in (*PRESETS, "None", ""):  # what has no value, tyro tells
        raise WrongOption(f"there is no preset {name}{nearest(name, [*PRESETS])} (`glam-train presets` lists them)")


def _values(arguments: Sequence[str]) -> dict[str, str]:
    """Return the text after each option of a command line, by its name."""
    pairs = [(option, text) for option, text in zip(arguments, [*arguments[1:], ""], strict=True)]
    pairs += [tuple(argument.split("=", 1)) for argument in arguments if "=" in argument]  # type: ignore[misc]
    return {option.removeprefix("--"): text for option, text in pairs if option.startswith("--")}


if __name__ == "__main__":
    sys.exit(main())
