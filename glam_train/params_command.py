"""`glam-train params`, importable without tyro and torch."""

import json
import sys
from dataclasses import asdict, dataclass

from glam_train.commands import PresetName
from glam_train.presets import preset


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
