"""Gatys, Ecker and Bethge: a picture's pixels are optimised until VGG sees the content's things in the style's look.

"Image Style Transfer Using Convolutional Neural Networks", CVPR 2016
(https://openaccess.thecvf.com/content_cvpr_2016/html/Gatys_Image_Style_Transfer_CVPR_2016_paper.html). The content is
what VGG-19 sees at relu4_2; the style is the correlations of its features, Gram matrices, at the first layer of each
block. L-BFGS goes down the gradient of

    content * mean (F - P)^2  +  style * sum over layers l of mean (G_l - A_l)^2 / N_l^2

with F, P the features of output and content at relu4_2, G_l, A_l the Gram matrices (N_l, N_l) of output and style, each
divided by its number of places, and N_l a layer's channels. This is the form in the authors' own later code
(https://github.com/leongatys/PytorchNeuralStyleTransfer), with their weights, 1 and 1000.

Where the paper leaves it open, or is not followed to the letter:
- The authors scale each filter so that its mean activation over ImageNet is one, on which the weights depend. ImageNet
  is not there, so each layer's features are divided by their mean over content and style.
- The style is scaled so that its longest side is the content's: the paper compares them at one size. `rival.size` is
  another side for it, which makes its forms larger or smaller. It is never enlarged.
- L-BFGS keeps `HISTORY` steps, and searches along each for where the objective is less (strong Wolfe conditions), as
  without that it may leap far away from noise. An iteration is one evaluation of the network and its gradient.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from sincut.config.sections import Rival
from sincut.errors import ImageError
from sincut.model.kinds import Told, untold
from sincut.nets.vgg import Vgg, standardised
from sincut.rivals.technique import Technique, VggTechnique, no_longer

CONTENT, STYLE = "relu4_2", ("relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1")
LAYERS = (*STYLE, CONTENT)
ITERATIONS = 500  # as in the authors' code
HISTORY = 10  # steps from which L-BFGS knows the curvature; each keeps two pictures of floats
NOISE = 0.3  # standard deviation of the noise that `rival.start=noise` begins with, of colours in [-1, 1]
TIMED = 3  # iterations of a sample of the work


def gram(features: Tensor) -> Tensor:
    """The correlations (C, C) of the channels of (1, C, H, W), as means over its places."""
    rows = features.permute(0, 2, 3, 1).reshape(-1, features.shape[1])  # (H*W, C)
    return rows.T @ rows / len(rows)


def content_loss(features: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared difference of features (1, C, H, W)."""
    return F.mse_loss(features, wanted)


def style_loss(grams: Sequence[Tensor], wanted: Sequence[Tensor]) -> Tensor:
    """The sum over layers of the mean squared difference of Gram matrices (C, C), divided by C^2."""
    return torch.stack([F.mse_loss(g, a) / len(a) ** 2 for g, a in zip(grams, wanted, strict=True)]).sum()


class Objective:
    """The weighted sum of both losses for a content and a style, (1, 3, H, W) in [-1, 1]."""

    def __init__(self, vgg: Vgg, content: Tensor, style: Tensor, settings: Rival) -> None:
        self.vgg, self.settings = vgg, settings
        with torch.no_grad():
            of_content, of_style = (self._features(image) for image in (content, style))
            means = [float(a.mean() + b.mean()) / 2 for a, b in zip(of_content, of_style, strict=True)]
            self.scales = [1 / mean if mean > 0 else 1.0 for mean in means]  # of each layer's features
            self.content = of_content[-1] * self.scales[-1]
            self.grams = self._grams(of_style)

    def losses(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """The content loss and the style loss, not weighted, of a picture (1, 3, H, W) of the content's size."""
        seen = self._features(image)
        return content_loss(seen[-1] * self.scales[-1], self.content), style_loss(self._grams(seen), self.grams)

    def _features(self, image: Tensor) -> list[Tensor]:
        """What VGG gives at `LAYERS`; it is fastest channels-last."""
        features: list[Tensor] = self.vgg(standardised(image).contiguous(memory_format=torch.channels_last), LAYERS)
        return features

    def _grams(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Gram matrices of the features at `STYLE`, as scaled; they are small, and copies of features are not."""
        scaled = zip(features[:-1], self.scales[:-1], strict=True)
        return [gram(each) * scale**2 for each, scale in scaled]

    def __call__(self, image: Tensor) -> Tensor:
        """The weighted sum of the losses of a picture."""
        content, style = self.losses(image)
        return self.settings.content * content + self.settings.style * style


class Gatys(VggTechnique):
    """The optimisation with VGG-19 up to relu5_1."""

    last = STYLE[-1]

    @staticmethod
    def pooling(settings: Rival) -> str:
        """As the settings say."""
        return settings.pooling

    def restyled(self, content: Tensor, style: Tensor, random: torch.Generator, told: Told = untold) -> Tensor:
        """The content's pixels, or noise, after so many iterations."""
        style = no_longer(style, self.settings.size or max(content.shape[2:]))
        objective = Objective(self.vgg, content, style, self.settings)
        image = content.clone(memory_format=torch.contiguous_format)  # as L-BFGS wants it
        if self.settings.start == "noise":
            image = (NOISE * torch.randn(content.shape, generator=random)).to(image)
        image.requires_grad_()
        count = self.rounds((content.shape[2], content.shape[3]))
        optimiser = torch.optim.LBFGS([image], max_iter=count, max_eval=count, history_size=HISTORY, tolerance_grad=0,
                                      tolerance_change=0, line_search_fn="strong_wolfe")  # fmt: skip
        done = 0

        def evaluate() -> Tensor:
            nonlocal done
            optimiser.zero_grad()
            loss = objective(image)
            loss.backward()
            if not bool(loss.isfinite()):
                raise ImageError(f"the optimisation has diverged in iteration {done}; train with a smaller rival.style")
            done += 1
            told(min(1.0, done / count))
            return loss

        optimiser.step(evaluate)  # type: ignore[arg-type]
        return image.detach().clamp(-1, 1)

    def rounds(self, size: tuple[int, int]) -> int:
        """The iterations, the same for pictures of any size."""
        return self.settings.iterations or ITERATIONS

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the features with their gradients, of the steps that are kept, and of some pictures."""
        return self.vgg.pixel_bytes + 4 * 3 * (2 * HISTORY + 10)

    def sample(self) -> tuple[Technique, float] | None:
        """The same with few iterations."""
        count = self.rounds((1, 1))
        if count <= TIMED:
            return None
        return Gatys(self.vgg, replace(self.settings, iterations=TIMED)), count / TIMED
