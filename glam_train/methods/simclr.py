"""SimCLR alone: Chen et al., "A Simple Framework for Contrastive Learning of Visual Representations", ICML 2020.

MaMA's Table 11 has it. Reports are not read: the text tower and the projections stay as they started, which the
provenance of a checkpoint says.
"""

from typing import NamedTuple

from torch import Tensor

from glam.model.glam import Glam, Scales
from glam_train.config import PretrainConfig
from glam_train.data.batches import Batch
from glam_train.methods.heads import ViewProjection, simclr_loss
from glam_train.methods.method import Terms
from glam_train.methods.settings import SimclrSettings
from glam_train.methods.single_image import SingleImageMethod


class TwoChanges(NamedTuple):
    """The tower's features of two changes of each image."""

    first: Tensor  # (batch, dim)
    second: Tensor  # (batch, dim)


class SimclrMethod(SingleImageMethod):
    """Two changes of an image find each other among those of all images."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        assert isinstance(config.method, SimclrSettings)
        self.settings = config.method
        self.view_head = ViewProjection(model.vision.dim, self.settings.out_dim)

    def features(self, model: Glam, batch: Batch) -> TwoChanges:
        """Take both changes through the tower."""
        first, second = model.view_features(batch.view, batch.other_view)
        return TwoChanges(model.pool_view(first), model.pool_view(second))

    def terms(self, features: TwoChanges, scales: Scales, step: int) -> Terms:
        """The one term."""
        del scales, step
        loss = simclr_loss(self.view_head, *features, self.settings.temperature)
        return {"view": loss, "total": loss}
