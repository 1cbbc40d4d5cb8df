"""What the methods on one image and its report share: what they need of the settings, and what they leave untrained."""

from glam.model.glam import Glam
from glam_train.config import PretrainConfig
from glam_train.methods.method import Method


class SingleImageMethod(Method):
    """A method that takes each image by itself: Batch.view is the image, Batch.other_view what is drawn beside it."""

    def __init__(self, config: PretrainConfig, model: Glam) -> None:
        super().__init__(config, model)
        name = config.method.name
        if config.model.alignment is not None:
            raise ValueError(f"{name} does not compare CC with MLO: set model.alignment to none")
        if config.views.strategy == "breast":
            raise ValueError(f"{name} takes each image by itself: set views.strategy to image, side or study")
        if config.correspondence_weight:
            raise ValueError(f"{name} has no map to be told places: set correspondence_weight to 0")

    def prepare(self, model: Glam) -> None:
        """Freeze what the loss does not reach."""
        for part in self.config.method.not_trained:
            model.get_submodule(part).requires_grad_(False)
