"""`glam-train presets` and `params`: what presets there are, what each sets, and how many parameters it has."""

import json
import sys
from dataclasses import asdict, dataclass

from glam_train.commands.options import PresetName
from glam_train.presets import describe_preset, list_presets, preset


@dataclass(frozen=True, kw_only=True)
class Presets:
    """List the presets; of one, print its settings and what differs from its paper's, all as JSON."""

    name: PresetName | None = None
    """None: all their names, each with what it is."""

    def run(self) -> None:
        """Print them."""
        about = list_presets() if self.name is None else describe_preset(self.name)
        sys.stdout.write(json.dumps(about, indent=1) + "\n")


@dataclass(frozen=True, kw_only=True)
class Params:
    """Count the parameters of a preset, all and trained, a part at a time; prints them as JSON.

    The model is counted, not built: no weights are needed, and none are fetched.
    """

    preset: PresetName = "glam"
    """The preset to count."""

    def run(self) -> None:
        """Print the counts."""
        from glam_train.parameters import count_parameters

        counts = count_parameters(preset(self.preset))
        told = {name: asdict(part) for name, part in counts.items()}
        sys.stdout.write(json.dumps({"preset": self.preset, "parameters": told}, indent=1) + "\n")
