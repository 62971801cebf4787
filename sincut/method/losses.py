"""Losses as pure functions of tensors: unweighted scalars, which terms and critics weight.

The adversarial loss is the non-saturating one (Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661) with the R1
penalty (Mescheder et al. 2018, https://arxiv.org/abs/1801.04406), or that of least squares (LSGAN, Mao et al. 2017,
https://arxiv.org/abs/1611.04076); the contrastive one is PatchNCE (Park et al. 2020,
section 3, https://arxiv.org/abs/2007.15651). Inputs of any precision are cast to float32 at least; only the matrix
product of PatchNCE runs in the precision of an autocast around it.

R rows (patches of all crops), M negatives, F features, T tiles.
"""

import warnings
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from sincut.nets.local import precise


def adversarial(fake_logits: Tensor) -> Tensor:
    """G's loss E[softplus(-D(fake))], for logits of any shape."""
    return F.softplus(-precise(fake_logits)).mean()


def discrimination(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """D's loss 1/2 E[softplus(D(fake))] + 1/2 E[softplus(-D(real))], for logits of any shape."""
    return 0.5 * (F.softplus(precise(fake_logits)).mean() + F.softplus(-precise(real_logits)).mean())


def least_squares(fake_logits: Tensor) -> Tensor:
    """G's loss of LSGAN, E[(D(fake) - 1)^2], for logits of any shape."""
    return (precise(fake_logits) - 1).square().mean()


def least_squares_discrimination(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """D's loss of LSGAN, 1/2 E[D(fake)^2] + 1/2 E[(D(real) - 1)^2], for logits of any shape."""
    return 0.5 * (precise(fake_logits).square().mean() + (precise(real_logits) - 1).square().mean())


def r1_penalty(discriminator: Callable[[Tensor], Tensor], tiles: Tensor) -> tuple[Tensor, Tensor]:
    """D's logits (T, 1, ...) of real tiles (T, 3, H, W), and R1, 1/2 E |grad D|^2 (sum over pixels, mean over tiles).

    D of a tile is its logit, or the mean of its logits.

    R1 is differentiable by D's weights, without the usual double backward pass. With v the gradient of D at a tile,
    taken as a constant, the directional derivative of D along v is |v|^2, and its derivative by the weights is that of
    1/2 |grad D|^2. Forward-mode differentiation (torch.autograd.forward_ad) computes it together with the logits.
    """
    _load_forward_mode()
    tiles = tiles.detach().requires_grad_()
    (v,) = torch.autograd.grad(precise(discriminator(tiles)).flatten(1).mean(1).sum(), tiles)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(tiles.detach(), v)  # type: ignore[no-untyped-call]
        logits, slope = forward_ad.unpack_dual(discriminator(dual))  # type: ignore[no-untyped-call]  # (T, 1, ...)
    square = precise(slope).mean()  # mean of |v|^2 over the tiles
    return logits, square - 0.5 * square.detach()  # the value is half of it, the derivative is whole


@cache
def _load_forward_mode() -> None:
    """Load what torch needs for its first forward-mode derivative, without its warning of its own code."""
    with warnings.catch_warnings(), forward_ad.dual_level():
        warnings.filterwarnings("ignore", message=r"`torch.jit.script` is deprecated")
        forward_ad.make_dual(torch.zeros(1), torch.zeros(1))  # type: ignore[no-untyped-call]


def patch_nce(
    query: Tensor, key: Tensor, temperature: float, false_negatives: float = 1.0, more: Tensor | None = None
) -> Tensor:
    """InfoNCE: cross-entropy of each query's cosines to all keys, over `temperature`, with its own key as the class.

    Both (R, F), rows of unit length; the positive of row i of `query` is row i of `key`, all other keys are negatives,
    and so are all rows of `more` (M, F), if they are given. The caller detaches the keys. Ours: keys whose cosine to
    the positive is above `false_negatives` show the same thing (sky and sky) and are no negatives; 1 leaves none out.
    """
    keys = key if more is None else torch.cat([key, more])
    logits = precise(query) @ precise(keys).T / temperature  # (R, R + M)
    if false_negatives < 1:
        alike = precise(key) @ precise(keys).T > false_negatives
        logits = logits.masked_fill(alike.fill_diagonal_(False), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(query), device=query.device))


def patch_nce_against(
    query: Tensor, key: Tensor, negatives: Tensor, temperature: float, false_negatives: float = 1.0
) -> Tensor:
    """`patch_nce` where a query's negatives are not the other keys, but `negatives`; of none the loss is 0.

    Query and key are (R, F); negatives (M, F), the same for all queries, or (R, M, F), for each its own.
    """
    q, k, n = precise(query), precise(key), precise(negatives)
    own = (q * k).sum(1, keepdim=True)  # (R, 1): the positive is class 0
    others = _cosines(q, n)  # (R, M)
    if false_negatives < 1:
        others = others.masked_fill(_cosines(k, n) > false_negatives, -torch.inf)
    logits = torch.cat([own, others], dim=1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(q), dtype=torch.long, device=q.device))


def _cosines(rows: Tensor, negatives: Tensor) -> Tensor:
    """Products (R, M) of rows (R, F) with each of (M, F), or with each of their own, (R, M, F)."""
    return rows @ negatives.T if negatives.dim() == 2 else (negatives @ rows[:, :, None])[:, :, 0]


def mean_absolute(output: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference over all elements, for equal shapes."""
    return (precise(output) - precise(target)).abs().mean()


def mean_squared(output: Tensor, target: Tensor) -> Tensor:
    """Mean squared difference over all elements, for equal shapes."""
    return F.mse_loss(precise(output), precise(target))


def pair_distances(crops: Tensor) -> Tensor:
    """Mean absolute differences of all pairs of crops (N, 3, H, W), (N * (N - 1) / 2,); none for one crop."""
    first, second = torch.triu_indices(len(crops), len(crops), 1, device=crops.device)
    return (precise(crops[first]) - precise(crops[second])).abs().mean((1, 2, 3))


def half_distances(crops: Tensor) -> Tensor:
    """Mean absolute differences of the left and the right half of each crop (N, 3, H, W), W even: (N,)."""
    left, right = precise(crops).chunk(2, dim=3)
    return (left - right).abs().mean((1, 2, 3))


def coarse_squared(output: Tensor, target: Tensor, cell: int = 8) -> Tensor:
    """Mean squared difference of the means over cells of `cell` x `cell` px, both (N, C, H, W).

    Detail finer than a cell does not count, and by the square small differences count little.
    """
    return F.mse_loss(F.avg_pool2d(precise(output), cell), F.avg_pool2d(precise(target), cell))
