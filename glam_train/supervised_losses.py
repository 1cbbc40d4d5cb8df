"""Losses for classes that are not alike often, as pure functions of logits and labels.

For the supervised protocols, linear probe and fine-tuning, which are not here yet: nothing calls them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def class_weights(counts: Tensor) -> Tensor:
    """Return a weight a class, inversely as often as it comes, so that the mean over the samples is 1.

    counts: (class,) samples of each. ValueError for a class without any, which has no such weight.
    """
    if not bool((counts > 0).all()):
        empty = int((counts <= 0).nonzero()[0])
        raise ValueError(f"class {empty} has no sample to weigh: leave it out of the classes")
    precise = counts.to(torch.promote_types(counts.dtype, torch.float32))
    return precise.sum() / (len(counts) * precise)


def weighted_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean of minus the log of each true class's probability, by the weights of the true classes.

    logits: (sample, class); labels: (sample,) int64; weights: (class,). None: all alike.
    """
    return F.cross_entropy(logits, labels, weight=weights)


def focal_loss(logits: Tensor, labels: Tensor, *, gamma: float = 2.0, weights: Tensor | None = None) -> Tensor:
    """Return the focal loss of Lin et al. (ICCV 2017, Eq. 5) over classes: samples that are right count for less.

    Each sample costs weight * (1 - p)^gamma * -log p, p being its true class's probability; the mean over the samples.
    logits: (sample, class); labels: (sample,) int64; weights: (class,), alpha of the paper. None: all alike.
    """
    log_p = torch.take_along_dim(logits.log_softmax(dim=-1), labels.unsqueeze(-1), dim=-1).squeeze(-1)  # (sample,)
    wrong = (-log_p.expm1()).clamp_min(torch.finfo(log_p.dtype).tiny)  # a power below 1 has no gradient at 0
    costs = -(wrong**gamma) * log_p
    return (costs if weights is None else weights[labels] * costs).mean()


def asymmetric_loss(
    logits: Tensor, labels: Tensor, *, gamma_positive: float = 1.0, gamma_negative: float = 4.0, smoothing: float = 0.1
) -> Tensor:
    """Return the asymmetric loss of Ridnik et al. (ICCV 2021) for one label a sample, as the papers have it for VinDr.

    Each class's log-probability counts by (1 - p)^gamma_positive where the class is true and by p^gamma_negative where
    it is not, against labels of which `smoothing` is spread over all classes; the mean over the samples.
    logits: (sample, class); labels: (sample,) int64.
    """
    log_p = logits.log_softmax(dim=-1)  # (sample, class)
    true = F.one_hot(labels, logits.shape[-1]).to(logits.dtype)
    p = log_p.exp()
    weights = torch.where(true > 0, (1 - p) ** gamma_positive, p**gamma_negative)
    target = (1 - smoothing) * true + smoothing / logits.shape[-1]
    return -(target * weights * log_p).sum(dim=-1).mean()


def asymmetric_loss_of_many(
    logits: Tensor, labels: Tensor, *, gamma_positive: float = 0.0, gamma_negative: float = 4.0, margin: float = 0.05
) -> Tensor:
    """Return the asymmetric loss of Ridnik et al. (ICCV 2021, Eq. 7) for several labels a sample, each there or not.

    A label that is there costs (1 - p)^gamma_positive * -log p; one that is not, q^gamma_negative * -log(1 - q), where
    q is its probability less the margin, 0 at the least. The mean over samples and labels. logits and labels: (sample,
    label), labels 0 or 1.
    """
    p = logits.sigmoid()
    q = (p - margin).clamp_min(0)
    there = (1 - p) ** gamma_positive * F.logsigmoid(logits)
    absent = q**gamma_negative * (1 - q).clamp_min(torch.finfo(q.dtype).eps).log()
    return -torch.where(labels > 0, there, absent).mean()
