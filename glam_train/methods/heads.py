"""Training-only heads that several methods share."""

from torch import Tensor, nn


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
