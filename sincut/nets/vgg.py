"""VGG-19 (Simonyan and Zisserman 2015, https://arxiv.org/abs/1409.1556) up to its last convolution, for its features.

Layers have the usual names: `relu3_2` is what the second convolution of the third block gives behind its ReLU. Weights
are those of torchvision (`WEIGHTS`), which expect colours as `standardised` gives them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.errors import ModelError
from sincut.nets.weights import hub_file, read_weights

CONVOLUTIONS = (2, 2, 4, 4, 4)  # of each block
WEIGHTS = "vgg19-dcbb9e9d.pth"  # as torchvision names it; trained on ImageNet
URL = f"https://download.pytorch.org/models/{WEIGHTS}"  # 548 MB
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's colours in 0..1, as torchvision has them
POOLINGS = ("max", "average")
WORKING = 6  # maps of the largest size that are at work in a pass backward, as measured
NAMES = tuple(f"{block}_{number}" for block, count in enumerate(CONVOLUTIONS, 1) for number in range(1, count + 1))


class Vgg(nn.Module):
    """The convolutions of VGG-19 up to layer `last`, each with its ReLU, and a pooling before each further block.

    `widths` are the channels of each convolution. As published the pooling takes the largest of four values; with
    `pooling="average"` their mean, as Gatys et al. have it.
    """

    def __init__(self, widths: Sequence[int], pooling: str = "max") -> None:
        super().__init__()
        self.widths, self.pooling = tuple(widths), pooling
        names = NAMES[: len(widths)]
        shapes = zip((3, *widths), widths, strict=False)
        self.convs = nn.ModuleDict(
            {f"conv{name}": nn.Conv2d(*shape, 3, padding=1) for name, shape in zip(names, shapes, strict=False)}
        )

    def forward(self, image: Tensor, layers: Sequence[str]) -> list[Tensor]:
        """Features (N, C, H / 2^(b-1), W / 2^(b-1)), of block b, of these layers, such as relu3_1, in their order.

        `image` is (N, 3, H, W), H, W >= 1, as the weights expect it. What no layer needs is not computed.
        """
        wanted, seen, x = set(layers), dict[str, Tensor](), image
        for name in NAMES:
            if name.endswith("_1") and name != NAMES[0]:
                # Sides of one px stay, for want of a second; else the odd last row is left out, as published.
                pool = F.max_pool2d if self.pooling == "max" else F.avg_pool2d
                x = pool(x, 2, ceil_mode=min(x.shape[2:]) < 2)
            x = F.relu(self.convs[f"conv{name}"](x), inplace=True)
            if f"relu{name}" in wanted:
                seen[f"relu{name}"] = x
                if len(seen) == len(wanted):
                    break
        return [seen[layer] for layer in layers]

    @property
    def pixel_bytes(self) -> int:
        """Bytes per pixel, roughly, of a pass forward and backward in float32, all features being kept."""
        kept, largest = 0.0, 0.0
        for name, width in zip(NAMES, self.widths, strict=False):
            area = 0.25 ** (int(name[0]) - 1)
            kept += width * area * (1.25 if name.endswith("_1") else 1)  # a quarter of the block before, pooled
            largest = max(largest, width * area)
        return int(4 * (kept + WORKING * largest))


def standardised(image: Tensor) -> Tensor:
    """Colours (N, 3, H, W) in [-1, 1] as torchvision's weights expect them."""
    mean, deviation = (torch.tensor(values).to(image)[:, None, None] for values in (MEAN, DEVIATION))
    return ((image + 1) / 2 - mean) / deviation


def vgg_of(tensors: Mapping[str, Tensor], pooling: str = "max") -> Vgg:
    """VGG with these tensors, as its `state_dict` gives them. Raises ValueError where they do not fit together."""
    names = [f"convs.conv{name}" for name in NAMES if f"convs.conv{name}.weight" in tensors]
    shapes = [tuple(tensors[f"{name}.weight"].shape) for name in names]
    if not shapes or any(len(shape) != 4 for shape in shapes):
        raise ValueError("its network is no VGG-19")
    with torch.device("meta"):
        network = Vgg([shape[0] for shape in shapes], pooling)
    if {name: value.shape for name, value in tensors.items()} != {k: v.shape for k, v in network.state_dict().items()}:
        raise ValueError("its network's weights do not have the shapes of a VGG-19")
    network.load_state_dict({name: value.float() for name, value in tensors.items()}, assign=True)
    return network.eval().requires_grad_(False)


def weights_file(given: str = "") -> Path:
    """The file that holds VGG-19's weights: the one that was given, or torchvision's. Raises `ModelError` if none does.

    Nothing is downloaded; the error says what is missing, where it is to be had, and where it belongs.
    """
    path = Path(given) if given else hub_file(WEIGHTS)
    if path.is_file():
        return path
    if given:
        raise ModelError(f"{given}: there is no such file of VGG-19's weights; they are at {URL}")
    raise ModelError(
        f"VGG-19's weights are missing; nothing is downloaded unasked: fetch {URL} (548 MB), and put it to {path}, or "
        "anywhere else and give --weights FILE"
    )


def read_vgg(path: Path, last: str, pooling: str = "max") -> Vgg:
    """VGG-19 up to layer `last`, such as relu5_1, with the weights of a file as torchvision names them.

    That is, `features.0.weight` and so on, of the whole network or of its features alone (`0.weight`). Any widths will
    do if they fit together. Raises `ModelError` for other networks, and for what is missing or does not fit.
    """
    weights = {name.removeprefix("features."): value for name, value in read_weights(path).items()}
    advice = f"give VGG-19's weights as torchvision has them: {URL}"
    if any(name.endswith("running_mean") for name in weights):
        raise ModelError(f"{path}: is a network with batch normalisation, as VGG-19-BN or a ResNet; {advice}")
    if "17.weight" in weights and "16.weight" not in weights:
        raise ModelError(f"{path}: is VGG-16; {advice}")
    wanted = NAMES[: NAMES.index(last.removeprefix("relu")) + 1]
    keys = {f"conv{name}.{part}": f"{_place(name)}.{part}" for name in wanted for part in ("weight", "bias")}
    missing = [f"features.{key}" for key in keys.values() if key not in weights]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ModelError(f"{path}: is not VGG-19, or not all of it: {missing[0]}{more} is missing; {advice}")
    inputs = 3
    for name in wanted:
        kernel, bias = (weights[f"{_place(name)}.{part}"] for part in ("weight", "bias"))
        outputs = kernel.shape[0]
        if tuple(kernel.shape) != (outputs, inputs, 3, 3) or tuple(bias.shape) != (outputs,):
            told = "x".join(map(str, kernel.shape))
            raise ModelError(f"{path}: is not VGG-19: features.{_place(name)}.weight is {told}; {advice}")
        inputs = outputs
    return vgg_of({f"convs.{name}": weights[key] for name, key in keys.items()}, pooling)


def _place(name: str) -> int:
    """The number in torchvision's sequence of the convolution with this name; it counts ReLUs and poolings too."""
    before = NAMES.index(name)
    return 2 * before + int(name[0]) - 1
