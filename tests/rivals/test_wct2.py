"""WCT2: wavelets that lose nothing, features with the style's mean and covariance, and the network written again."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sincut.config.sections import Rival
from sincut.errors import ModelError
from sincut.rivals import wct2
from sincut.rivals.wct2 import Components, Gaussian, Wct2

NARROW = (4, 5, 6, 7)


@pytest.fixture
def network() -> Wct2:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Wct2(Rival(), NARROW).eval()


def test_wavelets_of_a_picture_are_put_together_exactly() -> None:
    x = torch.randint(-8, 9, (2, 3, 8, 12)).float()  # sums and halves of small integers have no rounding
    parts = wct2.haar_unpool(wct2.haar_pool(x))
    assert all(part.shape == x.shape for part in parts)
    assert torch.equal(parts.ll + parts.lh + parts.hl + parts.hh, x)


def test_wavelets_are_convolutions_with_the_four_haar_kernels() -> None:
    low, high = torch.tensor([1.0, 1.0]) / 2**0.5, torch.tensor([-1.0, 1.0]) / 2**0.5
    x = torch.rand(1, 2, 6, 4)
    pooled = wct2.haar_pool(x)
    shares = wct2.haar_unpool(pooled)
    pairs = ((low, low), (low, high), (high, low), (high, high))
    for part, share, (along_height, along_width) in zip(pooled, shares, pairs, strict=True):
        kernel = torch.outer(along_height, along_width)[None, None].repeat(2, 1, 1, 1)
        assert torch.allclose(part, F.conv2d(x, kernel, stride=2, groups=2), atol=1e-6)
        assert torch.allclose(share, F.conv_transpose2d(part, kernel, stride=2, groups=2), atol=1e-6)


def test_coloured_features_have_the_styles_mean_and_covariance() -> None:
    random = torch.Generator().manual_seed(0)
    mix = torch.randn(6, 6, generator=random)
    content = torch.randn(1, 6, 20, 30, generator=random)
    style = torch.einsum("oc,nchw->nohw", mix, torch.rand(1, 6, 11, 13, generator=random)) + 3
    out = wct2.whitened_and_coloured(content, Gaussian.of(style))
    assert torch.allclose(out[0].flatten(1).mean(1), style[0].flatten(1).mean(1), atol=1e-4)
    assert torch.allclose(torch.cov(out[0].flatten(1)), torch.cov(style[0].flatten(1)), atol=1e-4)


def test_the_ridge_bounds_what_is_made_of_faint_channels() -> None:
    random = torch.Generator().manual_seed(0)
    content, style = torch.randn(1, 2, 20, 20, generator=random), torch.randn(1, 2, 20, 20, generator=random)
    content[:, 1] *= 1e-3
    loud = wct2.whitened_and_coloured(content, Gaussian.of(style))
    quiet = wct2.whitened_and_coloured(content, Gaussian.of(style), wct2.RIDGE)
    assert float(loud[:, 1].std()) > 0.8 and float(quiet[:, 1].std()) < 0.1


def written_again(network: Wct2, x: Tensor, change: Callable[[str, Tensor], Tensor]) -> Tensor:
    """The forward pass of the published model of the kind cat5, line by line in plain PyTorch."""
    e, d = network.encoder.state_dict(), network.decoder.state_dict()

    def conv(weights: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
        padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(padded, weights[f"{name}.weight"], weights[f"{name}.bias"]).relu()

    def pool(level: int, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        ll, *fine = wct2.haar_pool(x)
        return ll, [change(f"skip{level}.{n}", f) for n, f in zip(("lh", "hl", "hh"), fine, strict=True)]

    def unpool(x: Tensor, fine: list[Tensor], original: Tensor) -> Tensor:
        return torch.cat([*wct2.haar_unpool(Components(x, *fine)), original], dim=1)

    x = change("encoder1", conv(e, "conv1_1", F.conv2d(x, e["conv0.weight"], e["conv0.bias"])))
    one = conv(e, "conv1_2", x)
    ll, fine1 = pool(1, one)
    x = change("encoder2", conv(e, "conv2_1", ll))
    two = conv(e, "conv2_2", x)
    ll, fine2 = pool(2, two)
    x = change("encoder3", conv(e, "conv3_1", ll))
    three = conv(e, "conv3_4", conv(e, "conv3_3", conv(e, "conv3_2", x)))
    ll, fine3 = pool(3, three)
    x = change("encoder4", conv(e, "conv4_1", ll))
    x = conv(d, "conv3_4_2", unpool(conv(d, "conv4_1", x), fine3, three))
    x = change("decoder3", conv(d, "conv3_2", conv(d, "conv3_3", x)))
    x = change("decoder2", conv(d, "conv2_2_2", unpool(conv(d, "conv3_1", x), fine2, two)))
    x = change("decoder1", conv(d, "conv1_2_2", unpool(conv(d, "conv2_1", x), fine1, one)))
    return F.conv2d(F.pad(x, (1, 1, 1, 1), mode="reflect"), d["conv1_1.weight"], d["conv1_1.bias"])


def test_the_network_is_the_published_one_written_again(network: Wct2) -> None:
    random = torch.Generator().manual_seed(0)
    content, style = torch.rand(1, 3, 24, 32, generator=random), torch.rand(1, 3, 16, 24, generator=random)
    looks: dict[str, Tensor] = {}

    def kept(place: str, features: Tensor) -> Tensor:
        looks[place] = features
        return features

    def recoloured(place: str, features: Tensor) -> Tensor:
        """Whitening and colouring by eigenvectors, in float64, with the identity added to both covariances."""
        both = [x[0].flatten(1).double() for x in (features, looks[place])]
        eigen = [torch.linalg.eigh(torch.cov(x) + torch.eye(len(x))) for x in both]
        white = eigen[0][1] @ torch.diag(eigen[0][0] ** -0.5) @ eigen[0][1].T @ (both[0] - both[0].mean(1)[:, None])
        out = eigen[1][1] @ torch.diag(eigen[1][0] ** 0.5) @ eigen[1][1].T @ white + both[1].mean(1)[:, None]
        clamped: Tensor = out.float().reshape(features.shape).clamp(features.min(), features.max())
        return clamped

    with torch.no_grad():
        written_again(network, style, kept)
        assert len(looks) == wct2.PLACES
        wanted = written_again(network, content, recoloured).clamp(0, 1)
    assert torch.allclose(network.recoloured(content, network.look_of(style)), wanted, atol=1e-5)


def test_pictures_of_any_size_keep_it(network: Wct2) -> None:
    style = torch.rand(1, 3, 5, 40) * 2 - 1
    for size in ((1, 1), (17, 40), (31, 8)):
        out = network.restyled(torch.rand(1, 3, *size) * 2 - 1, style, torch.Generator())
        assert out.shape[2:] == size and float(out.abs().max()) <= 1


def test_the_look_of_a_style_is_measured_once_and_another_ones_anew(network: Wct2) -> None:
    first, second, content = (torch.rand(1, 3, 16, 24) * 2 - 1 for _ in range(3))
    told: list[float] = []
    outputs = [network.restyled(content, style, torch.Generator(), told.append) for style in (first, first, second)]
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], outputs[2])
    assert told == [done / 16 for done in range(1, 17)] * 3
    look = network.look_of((second + 1) / 2)
    assert torch.equal(outputs[2], 2 * network.recoloured((content + 1) / 2, look) - 1)


def test_a_large_style_is_seen_at_the_size_of_the_picture_or_as_the_settings_say(network: Wct2) -> None:
    content, style = torch.rand(1, 3, 16, 24) * 2 - 1, torch.rand(1, 3, 64, 96) * 2 - 1
    network.restyled(content, style, torch.Generator())
    assert network.last_style.shape[2:] == (16, 24)
    other = Wct2.of_tensors(network.state_dict(), Rival(size=48))
    other.restyled(content, style, torch.Generator())
    assert other.last_style.shape[2:] == (32, 48)


def test_the_published_widths_give_the_published_shapes() -> None:
    """Names and shapes as the published code makes them, without the constant wavelets."""
    with torch.device("meta"):
        whole = Wct2(Rival())
    shapes = {name: tuple(value.shape) for name, value in whole.state_dict().items() if name.endswith("weight")}
    assert shapes["encoder.conv0.weight"] == (3, 3, 1, 1) and shapes["encoder.conv4_1.weight"] == (512, 256, 3, 3)
    assert shapes["decoder.conv3_4_2.weight"] == (256, 1280, 3, 3)
    assert shapes["decoder.conv2_2_2.weight"] == (128, 640, 3, 3)
    assert shapes["decoder.conv1_2_2.weight"] == (64, 320, 3, 3) and shapes["decoder.conv1_1.weight"] == (3, 64, 3, 3)
    assert len(shapes) == 10 + 9


def test_weights_of_the_published_files_give_the_network_and_wrong_ones_are_named(network: Wct2) -> None:
    published = {**network.state_dict(), "encoder.pool1.LL.weight": torch.ones(4, 1, 2, 2) / 2}
    again = Wct2.of_tensors(published, Rival())
    picture = torch.rand(1, 3, 16, 16)
    assert torch.equal(again(picture), network(picture))
    lacking = {name: value for name, value in published.items() if name != "decoder.conv3_4_2.weight"}
    with pytest.raises(KeyError, match=r"decoder\.conv3_4_2\.weight"):
        Wct2.of_tensors(lacking, Rival())
    with pytest.raises(ValueError, match=r"decoder.conv1_1.bias has the shape \(4,\), not \(3,\)"):
        Wct2.of_tensors({**published, "decoder.conv1_1.bias": torch.zeros(4)}, Rival())


def published_files(network: Wct2, folder: Path) -> tuple[Path, Path]:
    """The network's weights in two files as the authors have them, with the constant wavelets."""
    parts = network.encoder.state_dict(), network.decoder.state_dict()
    for name, part, block in zip(wct2.FILES, parts, ("pool1", "recon_block1"), strict=True):
        kernel = torch.full((NARROW[0], 1, 2, 2), 0.5)
        torch.save({**part, f"{block}.LL.weight": kernel}, folder / name)
    return folder / wct2.FILES[0], folder / wct2.FILES[1]


def test_either_of_the_two_published_files_names_both(network: Wct2, tmp_path: Path) -> None:
    files = published_files(network, tmp_path)
    for file in files:
        settings = Rival(weights=str(file))
        assert Wct2.files(settings) == files
        assert Wct2.read(settings).state_dict().keys() == network.state_dict().keys()


def test_what_is_missing_is_said_in_one_line(network: Wct2, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    with pytest.raises(
        ModelError, match=r"wave_encoder_cat5_l4\.pth and wave_decoder_cat5_l4\.pth missing; .*WCT2.*--weights"
    ):
        Wct2.files(Rival())
    encoder, decoder = published_files(network, tmp_path)
    with pytest.raises(
        ModelError, match=r"vgg19\.pth: WCT2's weights are .*; get both from .*github\.com/clovaai/WCT2"
    ):
        Wct2.files(Rival(weights=str(tmp_path / "vgg19.pth")))
    torch.save(network.decoder.state_dict(), encoder)
    with pytest.raises(ModelError, match=r"holds no weights of WCT2 \('encoder\.conv.*' is missing\)"):
        Wct2.read(Rival(weights=str(decoder)))
    encoder.unlink()
    with pytest.raises(ModelError, match=r": wave_encoder_cat5_l4\.pth missing; "):
        Wct2.read(Rival(weights=str(decoder)))
