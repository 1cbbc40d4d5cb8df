"""The settings that a method has for itself: one frozen dataclass of JSON types each, readable without torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from glam.settings import check_numbers

TEXT_SIDE = ("text", "text_projection")
"""The parts of the model that only reports go through."""


@dataclass(frozen=True, kw_only=True)
class MethodSettings:
    """What one method can be told and no other; `name` is its name in the table of methods."""

    name: ClassVar[str]
    trains: ClassVar[bool] = True
    """Whether the method trains anything; a run of one that does not has no updates."""
    reads_two_wordings: ClassVar[bool] = False
    """Whether the method holds a report against the same report worded anew."""

    @property
    def not_trained(self) -> tuple[str, ...]:
        """Parts of the model that stay as they started, by their names in it."""
        return ()

    @property
    def told(self) -> str:
        """How provenance and logs call the method."""
        return self.name


@dataclass(frozen=True, kw_only=True)
class NoneSettings(MethodSettings):
    """No training: the weights that a run starts from, as a checkpoint."""

    name: ClassVar[str] = "none"
    trains: ClassVar[bool] = False

    @property
    def not_trained(self) -> tuple[str, ...]:
        """Nothing is."""
        return ("vision", *TEXT_SIDE, "image_projection")


@dataclass(frozen=True, kw_only=True)
class ClipSettings(MethodSettings):
    """CLIP (Radford et al. 2021): an image finds its report and the report its image."""

    name: ClassVar[str] = "clip"


@dataclass(frozen=True, kw_only=True)
class SlipSettings(MethodSettings):
    """SLIP (Mu et al. 2022): CLIP, and SimCLR between two changes of the image."""

    name: ClassVar[str] = "slip"
    view_weight: float = 1.0
    """Weight of SimCLR's loss."""
    temperature: float = 0.1
    """Of SimCLR's loss; fixed."""
    hidden_dim: int = 4096
    """Width of the two hidden layers of SimCLR's head."""
    out_dim: int = 256
    """Width of what SimCLR's loss compares."""

    def __post_init__(self) -> None:
        check_numbers(self, at_least_0=("view_weight",), above_0=("temperature",), counts=("hidden_dim", "out_dim"))


@dataclass(frozen=True, kw_only=True)
class SlipOfficialSettings(MethodSettings):
    """SLIP as the released GLAM code has it: another head, another temperature, image and text not halved."""

    name: ClassVar[str] = "slip_official"
    view_weight: float = 1.0
    """Weight of SimCLR's loss."""
    temperature: float = 0.5
    """Of SimCLR's loss; fixed."""

    def __post_init__(self) -> None:
        check_numbers(self, at_least_0=("view_weight",), above_0=("temperature",))


@dataclass(frozen=True, kw_only=True)
class SimclrSettings(MethodSettings):
    """SimCLR (Chen et al. 2020) alone: no report is read."""

    name: ClassVar[str] = "simclr"
    temperature: float = 0.5
    """Fixed."""
    out_dim: int = 512
    """Width of what the loss compares."""

    def __post_init__(self) -> None:
        check_numbers(self, above_0=("temperature",), counts=("out_dim",))

    @property
    def not_trained(self) -> tuple[str, ...]:
        """What the loss does not reach: its head reads the tower's own feature."""
        return (*TEXT_SIDE, "image_projection")


@dataclass(frozen=True, kw_only=True)
class MocoSettings(MethodSettings):
    """MoCo (He et al. 2020): an image against a queue of keys that a slowly moving copy of the tower made."""

    name: ClassVar[str] = "moco"
    queue: int = 4096
    """Keys that an image is held against beside its own."""
    momentum: float = 0.999
    """Share of itself that the copy keeps in an update."""
    temperature: float = 0.07
    """Fixed."""
    image_text_weight: float = 1.0
    """Weight of CLIP's loss beside it. 0: no report is read."""

    def __post_init__(self) -> None:
        weights, temperatures = ("image_text_weight",), ("temperature",)
        check_numbers(self, at_least_0=weights, above_0=temperatures, counts=("queue",), shares=("momentum",))

    @property
    def not_trained(self) -> tuple[str, ...]:
        """The side of the text, where no report is read."""
        return () if self.image_text_weight else TEXT_SIDE


@dataclass(frozen=True, kw_only=True)
class ConvirtSettings(MethodSettings):
    """ConVIRT (Zhang et al. 2020): image and report, each projected by a hidden layer, at a fixed temperature."""

    name: ClassVar[str] = "convirt"
    temperature: float = 0.07
    """Fixed. 0.1 in ConVIRT's paper."""
    image_share: float = 0.5
    """Weight of an image finding its report; its complement is that of a report finding its image. 0.75 in the paper of
    ConVIRT."""

    def __post_init__(self) -> None:
        check_numbers(self, above_0=("temperature",))
        if not 0 <= self.image_share <= 1:
            raise ValueError(f"image_share is {self.image_share}: give a share from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class MgcaSettings(MethodSettings):
    """MGCA (Wang et al. 2022): image and report, patches and words, and prototypes that both are assigned to."""

    name: ClassVar[str] = "mgca"
    temperature: float = 0.07
    """Of image against report (ITA); fixed."""
    token_temperature: float = 0.1
    """Of patches and words (CTA); fixed."""
    prototype_temperature: float = 0.2
    """Of the likeness to prototypes (CPA); fixed."""
    num_prototypes: int = 500
    token_dim: int = 128
    """Width of the space of patches and words."""
    hidden_dim: int = 2048
    """Width of the hidden layer that projects into it."""
    sinkhorn_iterations: int = 3
    sinkhorn_epsilon: float = 0.05
    """How sharp the assignment to prototypes is: smaller is sharper."""
    frozen_steps: int = 1772
    """Updates in which the prototypes stay: one epoch, which is the 364,564 images of EMBED x 70 % / 144 in MaMA."""
    image_text_weight: float = 1.0
    token_weight: float = 0.7
    prototype_weight: float = 0.5
    token_shares: Literal["attention", "even"] = "attention"
    """How much a patch or a word counts. attention: as much as [CLS] looks at it in the last layer; even: all alike."""

    def __post_init__(self) -> None:
        check_numbers(
            self,
            at_least_0=("image_text_weight", "token_weight", "prototype_weight", "frozen_steps"),
            above_0=("temperature", "token_temperature", "prototype_temperature", "sinkhorn_epsilon"),
            counts=("num_prototypes", "token_dim", "hidden_dim", "sinkhorn_iterations"),
        )


@dataclass(frozen=True, kw_only=True)
class MmMilSettings(MethodSettings):
    """Image and report, and a sentence with its best patch (Wang et al. 2023; MaMA's visual localization alone)."""

    name: ClassVar[str] = "mm_mil"
