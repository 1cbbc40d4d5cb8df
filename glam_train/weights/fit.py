"""What published weights must be to fit a tower: every name known, every name there, every shape equal."""

import math
import re
from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn.functional import interpolate

from glam_train.weights.source import WeightsError
from glam_train.weights.stored import Weights

_SHOWN = 3


def renamed(tensors: Weights, table: Mapping[str, str], *, unused: str) -> Weights:
    """Return the tensors under other names: each pattern of the table is replaced; what `unused` matches is left out.

    The patterns are regular expressions for a whole name, the first that fits is taken; a name that none fits stays,
    and `check_fit` names it.
    """
    patterns = [(re.compile(theirs), ours) for theirs, ours in table.items()]
    never = re.compile(unused)
    kept = {name: tensor for name, tensor in tensors.items() if not never.fullmatch(name)}
    return {_renamed(name, patterns): tensor for name, tensor in kept.items()}


def _renamed(name: str, patterns: list[tuple[re.Pattern[str], str]]) -> str:
    for theirs, ours in patterns:
        if found := theirs.fullmatch(name):
            return found.expand(ours)
    return name


def check_fit(tensors: Weights, tower: nn.Module, *, where: object) -> None:
    """Raise WeightsError, naming them, for tensors too many, too few or of another shape than the tower's."""
    expected = {name: tuple(tensor.shape) for name, tensor in plain_state(tower).items()}
    if missing := sorted(expected.keys() - tensors.keys()):
        raise WeightsError(f"{where} has nothing for {_told(missing)}: it is incomplete, or of another model")
    if unknown := sorted(tensors.keys() - expected.keys()):
        raise WeightsError(f"{where} has {_told(unknown)}, which the model does not: it is of another model")
    for name, tensor in tensors.items():
        if tuple(tensor.shape) != expected[name]:
            raise WeightsError(
                f"{where}: {name} is {tuple(tensor.shape)}, not {expected[name]}: the file is of another size of model "
                "than it says"
            )


def plain_state(tower: nn.Module) -> dict[str, Tensor]:
    """Return a tower's tensors under the names they have without low-rank changes beside them, which are left out."""
    state = tower.state_dict()
    return {name.replace(".base_layer.", "."): tensor for name, tensor in state.items() if ".lora_" not in name}


def resample_positions(positions: Tensor, grid: tuple[int, int]) -> Tensor:
    """Resize position embeddings as DINOv2's register models do: (1, patch, dim) -> (1, row * col of `grid`, dim)."""
    side = math.isqrt(positions.shape[1])
    if (side, side) == grid:
        return positions
    if side**2 != positions.shape[1]:
        raise WeightsError(f"the weights have positions for {positions.shape[1]} patches, which are no square grid")
    square = positions.mT.unflatten(2, (side, side))  # (1, dim, row, col)
    resized = interpolate(square, size=grid, mode="bicubic", antialias=True)
    return resized.flatten(2).mT


def three_channel_stem(weight: Tensor) -> Tensor:
    """Return a stem for three equal channels: (out, 1, P, P) is spread over them, (out, 3, P, P) stays."""
    return weight.expand(-1, 3, -1, -1) / 3 if weight.shape[1] == 1 else weight


def _told(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
