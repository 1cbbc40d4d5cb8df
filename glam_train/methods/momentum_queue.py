"""The slow copy of the image tower of MoCo (He et al., CVPR 2020), and the queue of the keys that it made before."""

from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from glam.model.alignment import unit_vectors
from glam.model.glam import Glam
from glam_train.config import PretrainConfig


def queue_loss(queries: Tensor, keys: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """Each query finds its own key among that and the queue: (n, joint), (n, joint) and (queue, joint) unit vectors."""
    own = (queries * keys).sum(dim=1, keepdim=True)  # (n, 1)
    logits = torch.cat([own, queries @ queue.mT], dim=1) / temperature  # (n, 1 + queue)
    return F.cross_entropy(logits, torch.zeros(len(logits), dtype=torch.int64, device=logits.device))


def check_queued(config: PretrainConfig) -> None:
    """Refuse settings under which the queue or the slow copy would be wrong."""
    if config.negatives != "update":
        raise ValueError("moco takes the keys of a whole update into its queue: set negatives to update")
    if config.precision == "bf16-true":
        raise ValueError("moco's slow copy would not move in bf16, which rounds its steps away: set bf16-mixed")


class MomentumQueue(nn.Module):
    """The copy and its queue, whose oldest keys those of an update replace."""

    queue: Tensor
    oldest: Tensor

    def __init__(self, model: Glam, *, size: int, momentum: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.vision = deepcopy(model.vision).requires_grad_(False)
        self.projection = deepcopy(model.image_projection).requires_grad_(False)
        self.register_buffer("queue", unit_vectors(torch.randn(size, model.config.joint_dim)))
        self.register_buffer("oldest", torch.tensor(0))
        self._keys: Tensor | None = None

    @torch.no_grad()
    def keys_of(self, model: Glam, views: Tensor) -> Tensor:
        """Return the keys of views: (batch, joint) unit vectors of the slow copy, without a gradient."""
        return unit_vectors(self.projection(model.pool_view(self.vision(views))))

    def loss(self, queries: Tensor, keys: Tensor, temperature: float) -> Tensor:
        """Return `queue_loss` of the vectors of an update, whose keys then go into the queue."""
        self._keys = keys.detach()
        return queue_loss(queries, self._keys, self.queue.to(keys.dtype), temperature)

    @torch.no_grad()
    def after_update(self, model: Glam) -> None:
        """Move the copy towards the model, and put the keys of the update in place of the oldest ones."""
        for slow, fast in ((self.vision, model.vision), (self.projection, model.image_projection)):
            for kept, new in zip(slow.parameters(), fast.parameters(), strict=True):
                kept.lerp_(new, 1 - self.momentum)
            for kept, new in zip(slow.buffers(), fast.buffers(), strict=True):
                kept.copy_(new)
        if self._keys is not None:
            self._push(self._keys)
        self._keys = None

    def _push(self, keys: Tensor) -> None:
        size = len(self.queue)
        newest = keys[-size:]
        places = (self.oldest + torch.arange(len(newest), device=newest.device)) % size
        self.queue[places] = newest.to(self.queue.dtype)
        self.oldest.copy_((self.oldest + len(newest)) % size)
