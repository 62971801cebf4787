"""WCT2: photorealistic style transfer by whitening and colouring the features of a network that loses nothing.

After Yoo, Uh, Chun, Kang and Ha 2019 (https://arxiv.org/abs/1903.09760). The encoder is VGG-19 up to conv4_1, with
Haar wavelets in place of its pooling layers; the decoder mirrors it, and puts together again what the wavelets took
apart. In one pass through both, the features of the content get mean and covariance of the style's (WCT): after each
of the four levels of the encoder, in the fine components of each pooling, and after three levels of the decoder.

This is the published model of the kind "cat5": an unpooling hands the decoder the four components, each enlarged for
itself, and the encoder's features from before the pooling. The decoder is trained, and VGG's weights alone are not
enough: the weights are those of two published files (see `FILES`). Features are (1, C, H, W), pictures (1, 3, H, W) in
[0, 1] here, as these weights expect them; parts and their names are those of the files.

Two things are from the published code, of which the paper says nothing: unit variance is added to both covariances
(`RIDGE`), lest noise in directions that the content hardly uses be raised to the style's strength, and the features
stay within the content's own range.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sincut.config.sections import Rival
from sincut.errors import ModelError
from sincut.model.kinds import Told, untold
from sincut.nets.local import symmetric_power
from sincut.nets.weights import hub_file, read_weights
from sincut.rivals.technique import Technique, no_longer

FILES = ("wave_encoder_cat5_l4.pth", "wave_decoder_cat5_l4.pth")
URL = "https://github.com/clovaai/WCT2/tree/master/model_checkpoints"  # where the authors have both
WIDTHS = (64, 128, 256, 512)  # channels of the four levels of VGG-19
STRIDE, SMALLEST = 8, 16  # px: sides of pictures are multiples of the one, and no shorter than the other
PLACES = 16  # in the network, where features are changed
ALIVE = 32  # maps as large as the picture, of so many times the channels of level 1, that are alive at once, measured
RIDGE = 1.0  # variance added to the covariances of content and style
Widths = tuple[int, int, int, int]
Change = Callable[[str, Tensor], Tensor]  # changes the features of a named place in the network


class Components(NamedTuple):
    """The Haar components of (N, C, H, W), each (N, C, H/2, W/2): L low, H high, along height, then along width."""

    ll: Tensor
    lh: Tensor
    hl: Tensor
    hh: Tensor


def haar_pool(x: Tensor) -> Components:
    """The Haar components of (N, C, H, W), H and W even; an orthonormal transform of each 2 x 2 px."""
    a, b, c, d = x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]
    return Components((a + b + c + d) / 2, (b + d - a - c) / 2, (c + d - a - b) / 2, (a + d - b - c) / 2)


def haar_unpool(parts: Components) -> Components:
    """The share of each component in the picture (N, C, 2H, 2W); their sum is what `haar_pool` was given."""
    signs = ((1, 1, 1, 1), (-1, 1, -1, 1), (-1, -1, 1, 1), (1, -1, -1, 1))  # of the four px, rows first
    shuffled = []
    for part, signed in zip(parts, signs, strict=True):
        pixels = torch.stack([part * sign / 2 for sign in signed], dim=2)  # (N, C, 4, H, W)
        shuffled.append(F.pixel_shuffle(pixels.flatten(1, 2), 2))
    return Components(*shuffled)


class Gaussian(NamedTuple):
    """Mean (C,) and covariance (C, C) of features, in float64 on the CPU: MPS has no float64."""

    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor) -> "Gaussian":
        """Those of features (1, C, H, W), over their places."""
        rows = features[0].flatten(1)  # (C, H*W)
        about = rows.mean(1)  # but for rounding, which a second mean makes up for
        centred = rows - about[:, None]
        rounding = centred.mean(1)
        centred = centred - rounding[:, None]
        mean = about.cpu().double() + rounding.cpu().double()
        return cls(mean, (centred @ centred.T).cpu().double() / max(1, rows.shape[1] - 1))


def whitened_and_coloured(features: Tensor, style: Gaussian, ridge: float = 0.0) -> Tensor:
    """Features (1, C, H, W) with mean and covariance of `style`: Cs^1/2 Cc^-1/2 (x - mean) + the style's mean.

    Cc and Cs are the covariances of features and style, plus `ridge` times the identity. With a ridge of 0 the result
    has the style's covariance, if Cc has full rank.
    """
    own = Gaussian.of(features)
    some = ridge * torch.eye(len(own.mean), dtype=torch.float64)
    matrix = symmetric_power(style.covariance + some, 0.5) @ symmetric_power(own.covariance + some, -0.5)
    own_mean, style_mean, linear = (
        each.to(features.dtype).to(features.device) for each in (own.mean, style.mean, matrix)
    )
    return torch.einsum("oc,nchw->nohw", linear, features - own_mean[:, None, None]) + style_mean[:, None, None]


class Encoder(nn.Module):
    """VGG-19 up to conv4_1, with convolutions continued at borders by reflection."""

    def __init__(self, widths: Widths = WIDTHS) -> None:
        super().__init__()
        a, b, c, d = widths
        self.conv0 = nn.Conv2d(3, 3, 1)  # from RGB to what VGG expects
        self.conv1_1, self.conv1_2 = _conv(3, a), _conv(a, a)
        self.conv2_1, self.conv2_2 = _conv(a, b), _conv(b, b)
        self.conv3_1, self.conv3_2, self.conv3_3, self.conv3_4 = _conv(b, c), _conv(c, c), _conv(c, c), _conv(c, c)
        self.conv4_1 = _conv(c, d)


class Decoder(nn.Module):
    """The mirrored encoder; the convolutions behind an unpooling have five times as many channels as input."""

    def __init__(self, widths: Widths = WIDTHS) -> None:
        super().__init__()
        a, b, c, d = widths
        self.conv4_1 = _conv(d, c)
        self.conv3_4_2, self.conv3_3 = _conv(5 * c, c), _conv(c, c)
        self.conv3_2, self.conv3_1 = _conv(c, c), _conv(c, b)
        self.conv2_2_2, self.conv2_1 = _conv(5 * b, b), _conv(b, a)
        self.conv1_2_2, self.conv1_1 = _conv(5 * a, a), _conv(a, 3)


class Wct2(Technique):
    """Encoder and decoder, whose features may be changed on the way."""

    unit = "transforms"

    def __init__(self, settings: Rival, widths: Widths = WIDTHS) -> None:
        super().__init__(settings)
        self.encoder, self.decoder = Encoder(widths), Decoder(widths)
        self.last_style, self.last_look = torch.zeros(0), dict[str, Gaussian]()

    @classmethod
    def files(cls, settings: Rival) -> tuple[Path, ...]:
        """The two published files, of which the settings name one, and the other lies beside it."""
        given = Path(settings.weights) if settings.weights else hub_file(FILES[1])
        folder, paths = given.parent, tuple(given.parent / name for name in FILES)
        if given.name not in FILES:
            raise ModelError(f"{given}: WCT2's weights are {' and '.join(FILES)}; get both from {URL}, and name one")
        missing = [path.name for path in paths if not path.is_file()]
        if missing:
            remedy = f"fetch both files of {URL} into one folder, and give --weights {FILES[1]} with its path"
            raise ModelError(f"{folder}: {' and '.join(missing)} missing; nothing is downloaded unasked: {remedy}")
        return paths

    @classmethod
    def read(cls, settings: Rival) -> "Wct2":
        """With the weights of these files. Raises `ModelError` where they are others'."""
        paths = cls.files(settings)
        parts = zip(("encoder", "decoder"), paths, strict=True)
        tensors = {f"{part}.{name}": value for part, path in parts for name, value in read_weights(path).items()}
        try:
            return cls.of_tensors(tensors, settings)
        except (KeyError, ValueError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise ModelError(f"{paths[0].parent}: holds no weights of WCT2 ({what}); get {URL}") from None

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor], settings: Rival) -> "Wct2":
        """The network with these weights, by names that begin with `encoder.` and `decoder.`; of any widths.

        Others, such as the constant wavelets of the published files, are left out. Raises KeyError where a weight is
        missing, and ValueError for one of another shape.
        """
        a, b, c, d = (len(tensors[f"encoder.conv{level}_1.bias"]) for level in (1, 2, 3, 4))
        with torch.device("meta"):
            network = cls(settings, (a, b, c, d))
        for name, value in network.state_dict().items():
            if tensors[name].shape != value.shape or not tensors[name].is_floating_point():
                raise ValueError(f"{name} has the shape {tuple(tensors[name].shape)}, not {tuple(value.shape)}")
        weights = {name: tensors[name].float() for name in network.state_dict()}
        network.load_state_dict(weights, assign=True)
        network.last_style = torch.zeros(0)
        return network.eval().requires_grad_(False)

    def forward(self, x: Tensor, change: Change = lambda place, features: features) -> Tensor:
        """The picture (1, 3, H, W), H and W multiples of `STRIDE`, that the decoder makes of x, with features changed.

        `change` is asked at 16 places: encoder1 to encoder4; skip1.lh, .hl and .hh to skip3; decoder3 to decoder1.
        """
        e, d = self.encoder, self.decoder
        x = change("encoder1", _through(e.conv0(x), e.conv1_1))
        skips = []
        down = ([e.conv1_2], e.conv2_1), ([e.conv2_2], e.conv3_1), ([e.conv3_2, e.conv3_3, e.conv3_4], e.conv4_1)
        for level, (before, after) in enumerate(down, 1):
            unpooled = _through(x, *before)
            ll, *fine = haar_pool(unpooled)
            fine = [change(f"skip{level}.{n}", f) for n, f in zip(Components._fields[1:], fine, strict=True)]
            skips.append((fine, unpooled))
            x = change(f"encoder{level + 1}", _through(ll, after))
        up = (d.conv4_1, [d.conv3_4_2, d.conv3_3, d.conv3_2]), (d.conv3_1, [d.conv2_2_2]), (d.conv2_1, [d.conv1_2_2])
        for level, (first, rest) in zip((3, 2, 1), up, strict=True):
            fine, unpooled = skips.pop()
            parts = haar_unpool(Components(_through(x, first), *fine))
            x = change(f"decoder{level}", _through(torch.cat([*parts, unpooled], dim=1), *rest))
        decoded: Tensor = d.conv1_1(x)
        return decoded

    @torch.no_grad()
    def look_of(self, style: Tensor) -> dict[str, Gaussian]:
        """The style's mean and covariance at each place where features are changed, of (1, 3, H, W) of any size."""
        measured: dict[str, Gaussian] = {}

        def measure(place: str, features: Tensor) -> Tensor:
            measured[place] = Gaussian.of(features)
            return features

        self(_padded(style), measure)
        return measured

    @torch.no_grad()
    def recoloured(self, content: Tensor, look: Mapping[str, Gaussian], told: Told = untold) -> Tensor:
        """The content (1, 3, H, W), of any size, with the look that `look_of` has measured; in [0, 1]."""
        done = 0

        def recolour(place: str, features: Tensor) -> Tensor:
            nonlocal done
            changed = whitened_and_coloured(features, look[place], RIDGE).clamp(features.min(), features.max())
            done += 1
            told(done / len(look))
            return changed

        h, w = content.shape[2:]
        out: Tensor = self(_padded(content), recolour)
        return out[:, :, :h, :w].clamp(0, 1)

    def restyled(self, content: Tensor, style: Tensor, random: torch.Generator, told: Told = untold) -> Tensor:
        """What one pass makes of the content; nothing is random. The last style's look is kept for further pictures."""
        style = no_longer(style, self.settings.size or max(content.shape[2:]))
        if self.last_style.shape != style.shape or not torch.equal(self.last_style.to(style), style):
            self.last_style, self.last_look = style, self.look_of((style + 1) / 2)
        return 2 * self.recoloured((content + 1) / 2, self.last_look, told) - 1

    def rounds(self, size: tuple[int, int]) -> int:
        """The places at which features are changed."""
        return PLACES

    @property
    def pixel_bytes(self) -> int:
        """Bytes of the features at the picture's own size: the last unpooling's, behind it, and in between."""
        return 4 * ALIVE * self.encoder.conv1_1.out_channels


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1, padding_mode="reflect")


def _through(x: Tensor, *layers: nn.Module) -> Tensor:
    """x behind convolutions, each with its ReLU."""
    for layer in layers:
        x = F.relu(layer(x))
    return x


def _padded(x: Tensor) -> Tensor:
    """(1, 3, H, W) continued by its last pixels to multiples of `STRIDE`, and to `SMALLEST` at least."""
    h, w = (max(SMALLEST, -(-side // STRIDE) * STRIDE) for side in x.shape[2:])
    return F.pad(x, (0, w - x.shape[3], 0, h - x.shape[2]), mode="replicate")
