"""The torch engine of a bundle: a model behind the protocol of `glam.runtime`."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from glam.model.checkpoint import load_checkpoint
from glam.model.glam import Glam
from glam.runtime import AlignOut, VisionOut


class TorchRuntime:
    """A model behind the protocol of `glam.runtime`: numpy in, numpy out, fp32 on the model's device."""

    def __init__(self, source: Glam | Path | str) -> None:
        """Take a model or a checkpoint folder; the model is put into eval mode."""
        self.model = (source if isinstance(source, Glam) else load_checkpoint(source)).eval()

    @property
    def compares_views(self) -> bool:
        """Whether the model has an alignment module."""
        return self.model.alignment is not None

    @torch.inference_mode()
    def vision(self, images: np.ndarray) -> VisionOut:
        """Embed n prepared views: (n, 1, S, S) in [0, 1]."""
        features = self.model.vision(self._tensor(images))
        return VisionOut(embedding=_array(self.model.embed_view(features)), patches=_array(features.patches))

    @torch.inference_mode()
    def align(self, patches_cc: np.ndarray, patches_mlo: np.ndarray) -> AlignOut:
        """Align n pairs of views: (n, patch, dim) each, from `vision`."""
        alignment = self.model.align(self._tensor(patches_cc), self._tensor(patches_mlo))
        return AlignOut(**{name: _array(getattr(alignment, name)) for name in AlignOut._fields})

    @torch.inference_mode()
    def text(self, token_ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Embed n texts: int64 (n, token) each -> (n, joint), unit length."""
        return _array(self.model.embed_text(self._tensor(token_ids), self._tensor(mask)))

    def warm_up(self) -> None:
        """Do nothing: the whole model is loaded."""

    def _tensor(self, array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.model.logit_scale.device)


def use_threads(threads: int) -> None:
    """Have torch use so many threads for one call of a model, in this process."""
    torch.set_num_threads(threads)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
