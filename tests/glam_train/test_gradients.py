import pytest
import torch
from torch.nn import functional as F

from glam.model.glam import Scales
from glam_train.data.batches import Batch
from glam_train.methods.losses import correspondence_loss
from glam_train.methods.vectors import Vectors
from glam_train.pretraining.gradients import across_update, micro_batches, within_micro_batches


class ToyModel(torch.nn.Module):
    """The vectors of a pair from two weights, with dropout, maps over eight rows, and a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.image = torch.nn.Linear(16, 8, dtype=torch.float64)
        self.text = torch.nn.Embedding(11, 8, dtype=torch.float64)
        self.log_scale = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, batch: Batch) -> tuple[Vectors, Scales]:
        cc, mlo = (F.normalize(self.image(F.dropout(view.flatten(1), 0.2)), dim=-1) for view in (batch.cc, batch.mlo))
        text = F.normalize(self.text(batch.token_ids).mean(1), dim=-1)
        regions = [vector[:, None] for vector in (cc, mlo, mlo, cc)]
        scale = self.log_scale.exp()
        maps = [F.softmax(vector[:, None], dim=-1) for vector in (cc, mlo)]
        return Vectors(cc, mlo, text, cc, mlo, *regions, *maps), Scales(scale, scale, scale)


def contrast(vectors: Vectors, scales: Scales, batch: Batch) -> dict[str, torch.Tensor]:
    """Image against text, and one known place in each pair but those of the second half."""
    logits = vectors.image_cc @ vectors.text.mT * scales.image_text
    rows = (batch.points[:, :, 0, 1] * 8).long()
    known = correspondence_loss(vectors.maps_cc, vectors.maps_mlo, rows, rows, batch.place_kinds.double())
    return {"total": F.cross_entropy(logits, torch.arange(len(logits))) + known}


@pytest.fixture
def batch() -> Batch:
    generator = torch.Generator().manual_seed(3)
    views = [torch.rand(8, 1, 4, 4, dtype=torch.float64, generator=generator) for _ in range(2)]
    tokens = torch.randint(0, 11, (8, 5), generator=generator)
    points = torch.rand(8, 1, 2, 2, generator=generator)
    kinds = (torch.arange(8) < 4).long()[:, None]
    return Batch(*views, tokens, torch.ones(8, 5, dtype=torch.int64), points, kinds)


def gradient(way, batch: Batch, accumulate: int, dropout_parts: int) -> tuple[float, list[torch.Tensor]]:
    torch.manual_seed(0)
    model = ToyModel()

    def forward(part: Batch, index: int) -> tuple[Vectors, Scales]:
        """Dropout by the place of a pair in the update, so that one pass and several see the same."""
        vectors = []
        for offset, piece in enumerate(micro_batches(part, dropout_parts)):
            torch.manual_seed(100 + index * dropout_parts + offset)
            vectors.append(model(piece))
        return Vectors(*map(torch.cat, zip(*(v for v, _ in vectors), strict=True))), vectors[0][1]

    terms = way(forward, contrast, batch, accumulate)
    return float(terms["total"]), [parameter.grad for parameter in model.parameters()]


def test_the_gradient_across_an_update_is_that_of_one_large_batch(batch):
    whole, expected = gradient(across_update, batch, accumulate=1, dropout_parts=4)
    cached, found = gradient(across_update, batch, accumulate=4, dropout_parts=1)
    assert cached == pytest.approx(whole, rel=1e-12)
    for left, right in zip(found, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-10, atol=1e-14)


def test_plain_accumulation_contrasts_fewer_pairs(batch):
    across, _ = gradient(across_update, batch, accumulate=4, dropout_parts=1)
    within, _ = gradient(within_micro_batches, batch, accumulate=4, dropout_parts=1)
    assert within < across  # two candidates a row in place of eight


def test_micro_batches_keep_the_order(batch):
    parts = list(micro_batches(batch, 4))
    assert torch.equal(torch.cat([part.cc for part in parts]), batch.cc)
    assert [len(part.token_ids) for part in parts] == [2, 2, 2, 2]
