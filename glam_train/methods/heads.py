"""Training-only heads that several methods share."""

from torch import Tensor, nn

from glam_train.methods.losses import nt_xent


class ViewProjection(nn.Module):
    """SimCLR's head as the released code has it; its norms take the statistics of the batch they are given."""

    def __init__(self, dim: int, out_dim: int) -> None:
        super().__init__()
        self.hidden = nn.Linear(dim, dim, bias=False)
        self.hidden_norm = nn.BatchNorm1d(dim)
        self.out = nn.Linear(dim, out_dim, bias=False)
        self.out_norm = nn.BatchNorm1d(out_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, dim) -> (batch, out), of any length."""
        hidden = self.hidden_norm(self.hidden(features)).relu()
        return self.out_norm(self.out(hidden))


class DeepProjection(nn.Module):
    """SimCLR's head as SLIP has it: two hidden layers; its norms take the statistics of the batch they are given."""

    def __init__(self, dim: int, hidden_dim: int, out_dim: int) -> None:
        super().__init__()
        self.first = nn.Linear(dim, hidden_dim)
        self.first_norm = nn.BatchNorm1d(hidden_dim)
        self.second = nn.Linear(hidden_dim, hidden_dim)
        self.second_norm = nn.BatchNorm1d(hidden_dim)
        self.out = nn.Linear(hidden_dim, out_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(batch, dim) -> (batch, out), of any length."""
        hidden = self.first_norm(self.first(features)).relu()
        return self.out(self.second_norm(self.second(hidden)).relu())


def simclr_loss(head: nn.Module, first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """SimCLR's loss of two changes of each image, (batch, dim) each, that go through the head one after the other.

    The head works in the format of its weights, and the loss in that of the features.
    """
    weights = next(head.parameters()).dtype
    projected = [head(features.to(weights)).to(features.dtype) for features in (first, second)]
    return nt_xent(projected[0], projected[1], temperature)
