"""Pure, unweighted, scalar losses; terms and critics weight them. P patches, F features, T tiles.

The adversarial loss is the non-saturating one with R1 (Goodfellow et al. 2014; Mescheder et al. 2018,
https://arxiv.org/abs/1801.04406), the contrastive one is PatchNCE (Park et al. 2020, section 3,
https://arxiv.org/abs/2007.15651). Whatever the networks ran in, values are taken in float32 at
least; only the product of PatchNCE's rows is in the precision of an autocast around it.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd import forward_ad

from sincut.nets.local import precise


def adversarial(fake: Tensor) -> Tensor:
    """The loss of G: softplus(-D(fake)), mean over any shape of logits."""
    return F.softplus(-precise(fake)).mean()


def discrimination(real: Tensor, fake: Tensor) -> Tensor:
    """The loss of D: half of each side's mean softplus, logits of any shape."""
    return 0.5 * (F.softplus(precise(fake)).mean() + F.softplus(-precise(real)).mean())


def r1_penalty(discriminator: Callable[[Tensor], Tensor], tiles: Tensor) -> tuple[Tensor, Tensor]:
    """D's logits (T, 1) of real tiles (T, 3, H, W), and half its squared gradient there (sum over pixels, mean over T).

    The penalty can be differentiated, without a second backward pass through a backward pass: for v, the gradient
    taken as a constant, the slope of D along v is |v|^2, and its derivative by D's weights is that of the penalty.
    Forward-mode differentiation gives the slope together with the logits (torch.autograd.forward_ad).
    """
    tiles = tiles.detach().requires_grad_()
    (v,) = torch.autograd.grad(precise(discriminator(tiles)).sum(), tiles)
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(tiles.detach(), v)  # type: ignore[no-untyped-call]
        logits, slope = forward_ad.unpack_dual(discriminator(dual))  # type: ignore[no-untyped-call]  # (T, 1) each
    square = precise(slope).mean()  # of |v|^2 over the tiles
    return logits, square - 0.5 * square.detach()  # half of it, with all of its derivative


def patch_nce(query: Tensor, key: Tensor, temperature: float, false_negatives: float = 1.0) -> Tensor:
    """Each query must recognise its own key among all keys of the step.

    Both (P, F) of unit length; row i of `query` belongs to row i of `key`, all other keys are its negatives. The
    caller detaches the keys. Other keys whose cosine to its own is above `false_negatives` show the same thing (sky
    and sky) and are left out; 1 leaves none out.
    """
    logits = precise(query) @ precise(key).T / temperature  # (P, P)
    if false_negatives < 1:
        alike = precise(key) @ precise(key).T > false_negatives
        logits = logits.masked_fill(alike.fill_diagonal_(False), -torch.inf)
    return F.cross_entropy(logits, torch.arange(len(query), device=query.device))


def mean_absolute(output: Tensor, target: Tensor) -> Tensor:
    """|output - target|_1 as a mean over pixels and channels, any equal shapes."""
    return (precise(output) - precise(target)).abs().mean()


def mean_squared(output: Tensor, target: Tensor) -> Tensor:
    """|output - target|_2^2 as a mean over pixels and channels, any equal shapes."""
    return F.mse_loss(precise(output), precise(target))


def coarse_squared(output: Tensor, target: Tensor, cell: int = 8) -> Tensor:
    """Mean square of the difference of means over cells of `cell` x `cell` pixels, both (N, C, H, W).

    It has no say in what is finer than a cell, and by the square little in what is nearly right.
    """
    return F.mse_loss(F.avg_pool2d(precise(output), cell), F.avg_pool2d(precise(target), cell))
