"""No method: a run of no updates, whose checkpoint is what it starts from (Random-ViT, DINOv2-ViT of both papers)."""

from glam_train.methods.single_image import SingleImageMethod


class NoneMethod(SingleImageMethod):
    """Has neither heads nor a loss; the settings let it make no update."""
