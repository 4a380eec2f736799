"""The networks of the wiring zoo that are written by hand, after the papers and torchvision's reference code."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_norm(
    given: int, made: int, kernel: int, stride: int = 1, groups: int = 1, act: nn.Module | None = None
) -> nn.Sequential:
    parts = [nn.Conv2d(given, made, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(made)]
    return nn.Sequential(*parts, *([act] if act is not None else []))


class Residual(nn.Module):
    """A block of ResNet: two 3 x 3 convolutions, or 1 x 1, 3 x 3, 1 x 1, and the input added."""

    def __init__(self, given: int, width: int, stride: int, bottleneck: bool) -> None:
        super().__init__()
        made = width * 4 if bottleneck else width
        self.conv1 = nn.Conv2d(
            given, width, 1 if bottleneck else 3, 1 if bottleneck else stride, 0 if bottleneck else 1, bias=False
        )
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride if bottleneck else 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, made, 1, bias=False) if bottleneck else None
        self.bn3 = nn.BatchNorm2d(made) if bottleneck else None
        self.relu = nn.ReLU(inplace=True)
        fits = stride == 1 and given == made
        self.downsample = None if fits else conv_norm_bare(given, made, stride)

    def forward(self, x: Tensor) -> Tensor:
        found = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.conv3 is not None and self.bn3 is not None:
            found = self.bn3(self.conv3(self.relu(found)))
        found += x if self.downsample is None else self.downsample(x)
        return self.relu(found)


def conv_norm_bare(given: int, made: int, stride: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(given, made, 1, stride, bias=False), nn.BatchNorm2d(made))


class ResNet(nn.Module):
    """He et al., CVPR 2016."""

    def __init__(
        self, blocks: Sequence[int], widths: Sequence[int], classes: int = 5, stem: int = 4, bottleneck: bool = True
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        stages, given = [], stem
        for number, (count, width) in enumerate(zip(blocks, widths, strict=True)):
            stage = []
            for block in range(count):
                stage.append(Residual(given, width, 2 if number and not block else 1, bottleneck))
                given = width * 4 if bottleneck else width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.Sequential(*stages)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(given, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.fc(torch.flatten(self.avgpool(self.stages(x)), 1))


class DenseLayer(nn.Module):
    def __init__(self, given: int, growth: int, width: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(given)
        self.conv1 = nn.Conv2d(given, width * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width * growth)
        self.conv2 = nn.Conv2d(width * growth, growth, 3, padding=1, bias=False)

    def forward(self, parts: list[Tensor]) -> Tensor:
        found = self.conv1(F.relu(self.norm1(torch.cat(parts, 1)), inplace=True))
        return self.conv2(F.relu(self.norm2(found), inplace=True))


class DenseBlock(nn.Module):
    def __init__(self, count: int, given: int, growth: int, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DenseLayer(given + i * growth, growth, width) for i in range(count))

    def forward(self, x: Tensor) -> Tensor:
        parts = [x]
        for layer in self.layers:
            parts.append(layer(parts))
        return torch.cat(parts, 1)


class DenseNet(nn.Module):
    """Huang et al., CVPR 2017."""

    def __init__(self, blocks: Sequence[int], growth: int, start: int, width: int, classes: int = 5) -> None:
        super().__init__()
        parts: list[nn.Module] = [
            nn.Conv2d(3, start, 7, 2, 3, bias=False),
            nn.BatchNorm2d(start),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, 1),
        ]
        given = start
        for number, count in enumerate(blocks):
            parts.append(DenseBlock(count, given, growth, width))
            given += count * growth
            parts.append(nn.BatchNorm2d(given))
            if number < len(blocks) - 1:
                parts += [nn.ReLU(inplace=True), nn.Conv2d(given, given // 2, 1, bias=False), nn.AvgPool2d(2, 2)]
                given //= 2
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Linear(given, classes)

    def forward(self, x: Tensor) -> Tensor:
        found = F.relu(self.features(x), inplace=True)
        return self.classifier(torch.flatten(F.adaptive_avg_pool2d(found, (1, 1)), 1))


class InvertedResidual(nn.Module):
    def __init__(self, given: int, made: int, stride: int, expand: int) -> None:
        super().__init__()
        inner = given * expand
        self.adds = stride == 1 and given == made
        first = [conv_norm(given, inner, 1, act=nn.ReLU6(inplace=True))] if expand != 1 else []
        deep = conv_norm(inner, inner, 3, stride, inner, nn.ReLU6(inplace=True))
        self.conv = nn.Sequential(*first, deep, conv_norm(inner, made, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.adds else self.conv(x)


class MobileNetV2(nn.Module):
    """Sandler et al., CVPR 2018. A row of `table` is expansion, channels, blocks, stride."""

    def __init__(self, table: Sequence[tuple[int, int, int, int]], stem: int, last: int, classes: int = 5) -> None:
        super().__init__()
        parts, given = [conv_norm(3, stem, 3, 2, act=nn.ReLU6(inplace=True))], stem
        features: list[nn.Module] = list(parts)
        for expand, made, count, stride in table:
            for block in range(count):
                features.append(InvertedResidual(given, made, 1 if block else stride, expand))
                given = made
        features.append(conv_norm(given, last, 1, act=nn.ReLU6(inplace=True)))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(last, classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean([2, 3]))


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, squeeze: int) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, squeeze, 1)
        self.fc2 = nn.Conv2d(squeeze, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale = self.fc2(F.silu(self.fc1(F.adaptive_avg_pool2d(x, 1))))
        return x * torch.sigmoid(scale)


class MbConv(nn.Module):
    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        inner = given * 2
        self.adds = stride == 1 and given == made
        self.expand = conv_norm(given, inner, 1, act=nn.SiLU(inplace=True))
        self.deep = conv_norm(inner, inner, 3, stride, inner, nn.SiLU(inplace=True))
        self.excite = SqueezeExcite(inner, 2)
        self.project = conv_norm(inner, made, 1)

    def forward(self, x: Tensor) -> Tensor:
        found = self.project(self.excite(self.deep(self.expand(x))))
        return found + x if self.adds else found


class EfficientNet(nn.Module):
    """Tan and Le, ICML 2019."""

    def __init__(self, stem: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = conv_norm(3, stem, 3, 2, act=nn.SiLU(inplace=True))
        parts, given = [], stem
        for number, width in enumerate(widths):
            parts.append(MbConv(given, width, 1 if number else 2))
            given = width
        self.blocks = nn.Sequential(*parts)
        self.head = nn.Linear(given, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1))


def shuffled(x: Tensor, groups: int) -> Tensor:
    batch, channels, height, width = x.shape
    x = x.view(batch, groups, channels // groups, height, width)
    return torch.transpose(x, 1, 2).contiguous().view(batch, channels, height, width)


class ShuffleUnit(nn.Module):
    def __init__(self, given: int, made: int, stride: int) -> None:
        super().__init__()
        half = made // 2
        self.stride = stride
        self.branch1 = nn.Sequential()
        if stride > 1:
            self.branch1 = nn.Sequential(
                conv_norm(given, given, 3, stride, given), conv_norm(given, half, 1, act=nn.ReLU(inplace=True))
            )
        self.branch2 = nn.Sequential(
            conv_norm(given if stride > 1 else half, half, 1, act=nn.ReLU(inplace=True)),
            conv_norm(half, half, 3, stride, half),
            conv_norm(half, half, 1, act=nn.ReLU(inplace=True)),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            kept, given = x.chunk(2, dim=1)
            return shuffled(torch.cat((kept, self.branch2(given)), dim=1), 2)
        return shuffled(torch.cat((self.branch1(x), self.branch2(x)), dim=1), 2)


class ShuffleNetV2(nn.Module):
    """Ma et al., ECCV 2018."""

    def __init__(self, blocks: Sequence[int], widths: Sequence[int], last: int, classes: int = 5) -> None:
        super().__init__()
        self.conv1 = conv_norm(3, widths[0], 3, 2, act=nn.ReLU(inplace=True))
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        units, given = [], widths[0]
        for count, width in zip(blocks, widths[1:], strict=True):
            for block in range(count):
                units.append(ShuffleUnit(given, width, 1 if block else 2))
                given = width
        self.stages = nn.Sequential(*units)
        self.conv5 = conv_norm(given, last, 1, act=nn.ReLU(inplace=True))
        self.fc = nn.Linear(last, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.conv5(self.stages(self.maxpool(self.conv1(x)))).mean([2, 3]))


class GroupShuffle(nn.Module):
    """A unit of the first ShuffleNet (Zhang et al., CVPR 2018): grouped 1 x 1 convolutions with a shuffle between."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.groups = groups
        self.stem = nn.Conv2d(3, channels, 3, padding=1)
        self.squeeze = conv_norm(channels, channels, 1, groups=groups, act=nn.ReLU(inplace=True))
        self.deep = conv_norm(channels, channels, 3, groups=channels)
        self.expand = conv_norm(channels, channels, 1, groups=groups)
        self.head = nn.Conv2d(channels, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        found = self.expand(self.deep(shuffled(self.squeeze(x), self.groups)))
        return self.head(F.relu(x + found)).amax((2, 3))


class UNet(nn.Module):
    """Ronneberger et al., MICCAI 2015: down, up by transposed convolution, and the skip concatenated."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down1 = conv_norm(3, width, 3, act=nn.ReLU())
        self.down2 = conv_norm(width, 2 * width, 3, act=nn.ReLU())
        self.bottom = conv_norm(2 * width, 2 * width, 3, act=nn.ReLU())
        self.up1 = nn.ConvTranspose2d(2 * width, width, 2, 2)
        self.up2 = nn.ConvTranspose2d(width, width, 2, 2, groups=2)
        self.join1 = conv_norm(3 * width, width, 3, act=nn.ReLU())
        self.join2 = conv_norm(2 * width, width, 3, act=nn.ReLU())
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        first = self.down1(x)
        second = self.down2(F.max_pool2d(first, 2))
        bottom = self.bottom(F.max_pool2d(second, 2))
        found = self.join1(torch.cat([self.up1(bottom), second], 1))
        return self.head(self.join2(torch.cat([first, self.up2(found)], 1)))


class Vgg(nn.Module):
    """Simonyan and Zisserman, ICLR 2015."""

    def __init__(self, widths: Sequence[int], size: int) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        given = 3
        for width in widths:
            parts += [nn.Conv2d(given, width, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
            given, size = width, size // 2
        self.features = nn.Sequential(*parts)
        self.classifier = nn.Sequential(
            nn.Linear(given * size * size, 7), nn.ReLU(inplace=True), nn.Dropout(), nn.Linear(7, 4)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.features(x), 1))


class BiLstm(nn.Module):
    def __init__(self, tokens: int, width: int, units: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.lstm = nn.LSTM(width, units, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * units, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        made, _ = self.lstm(self.embed(tokens))
        return self.head(made.mean(1))


class GruStack(nn.Module):
    """A GRU into an RNN into a projected LSTM, read at the last state."""

    def __init__(self, given: int, units: int) -> None:
        super().__init__()
        self.gru = nn.GRU(given, units, 2)
        self.rnn = nn.RNN(units, 4, nonlinearity="relu")
        self.lstm = nn.LSTM(4, units, proj_size=3)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        made, _ = self.lstm(self.rnn(self.gru(x)[0])[0])
        return self.head(made[-1])


class Translator(nn.Module):
    """Vaswani et al., 2017: torch's encoder and decoder between embeddings and a head."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.transformer = nn.Transformer(width, 2, 2, 1, 12, batch_first=True)
        self.head = nn.Linear(width, tokens)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        mask = nn.Transformer.generate_square_subsequent_mask(target.shape[1], dtype=torch.float64)
        return self.head(self.transformer(self.embed(source), self.embed(target), tgt_mask=mask))


class Inception(nn.Module):
    """Szegedy et al., CVPR 2015: branches side by side."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.one = nn.Conv2d(width, 2, 1)
        self.three = nn.Sequential(nn.Conv2d(width, 3, 1), nn.ReLU(), nn.Conv2d(3, 4, (1, 3), padding=(0, 1)))
        self.five = nn.Sequential(nn.Conv2d(width, 2, 1), nn.ReLU(), nn.Conv2d(2, 3, 5, padding=2))
        self.pool = nn.Sequential(nn.AvgPool2d(3, 1, 1), nn.Conv2d(width, 2, 1))
        self.head = nn.Linear(11, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        joined = torch.cat([self.one(x), self.three(x), self.five(x), self.pool(x)], 1)
        return self.head(F.relu(joined).amax((2, 3)))


class Branching(nn.Module):
    """The way depends on the data."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(given, width)
        self.left = nn.Linear(width, width)
        self.right = nn.Linear(width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.first(x))
        x = self.left(x) if x.mean() > 0 else self.right(x)
        for _ in range(2):
            x = F.leaky_relu(x)
        return self.head(x)


class Shared(nn.Module):
    """One layer three times."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, width)
        self.again = nn.Linear(width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        for _ in range(3):
            x = x + torch.tanh(self.again(x))
        return self.head(x)


class Functional(nn.Module):
    """Weights held bare and used by calls: as they are, cast, transposed, cut in two, masked."""

    def __init__(self, given: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(given, width)
        self.weight = nn.Parameter(torch.randn(width, width))
        self.turned = nn.Parameter(torch.randn(width, 2 * width))
        self.register_buffer("mask", (torch.rand(width, width) > 0.3).double())
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.gelu(self.enter(x))
        x = F.relu(F.linear(x, self.weight * self.mask))
        left, right = self.turned.chunk(2, -1)
        return self.head(torch.sigmoid(x @ left) * (x @ right.contiguous()))


class PermutedFlatten(nn.Module):
    """Channels last before the flatten, as Keras has it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width * 16, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv(x)).permute(0, 2, 3, 1)
        return self.head(F.hardswish(self.fc(x.reshape(x.shape[0], -1))))


class WeightNormed(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.utils.parametrizations.weight_norm(nn.Conv1d(3, width, 3, padding=1))
        self.second = nn.utils.parametrizations.weight_norm(nn.Conv1d(width, width, 3, dilation=2, padding=2))
        self.head = nn.utils.parametrizations.weight_norm(nn.Linear(width, 2))

    def forward(self, x: Tensor) -> Tensor:
        x = F.elu(self.first(x))
        return self.head(F.elu(self.second(x) + x).mean(-1))


class Autoencoder(nn.Module):
    """An embedding whose table is also the last layer's weight."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(tokens, width)
        self.inner = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        return self.head(self.norm(x + F.mish(self.inner(x))))


class PreluGlu(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 2 * width, 3, padding=1)
        self.glu = nn.GLU(dim=1)
        self.second = nn.Conv2d(width, width, 3, padding=1, padding_mode="reflect")
        self.prelu = nn.PReLU(width)
        self.norm = nn.GroupNorm(2, width)
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.glu(self.first(x))
        return self.head(F.interpolate(self.norm(self.prelu(self.second(x))), scale_factor=2))


class Einsum(nn.Module):
    """An attention written with einsum, and its weights in layers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (self._heads(layer.weight, x) for layer in (self.query, self.key, self.value))
        pattern = torch.einsum("bqhd,bkhd->bhqk", query, key).softmax(-1)
        found = torch.einsum("bhqk,bkhd->bqhd", pattern, value).flatten(2)
        return self.head(x + torch.einsum("bqi,oi->bqo", found, self.out.weight))

    def _heads(self, weight: Tensor, x: Tensor) -> Tensor:
        return torch.einsum("bsi,oi->bso", x, weight).unflatten(-1, (2, -1))


class PixelShuffle(nn.Module):
    """Shi et al., CVPR 2016."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4 * width, 3, padding=1)
        self.second = nn.Conv2d(width, 4, 3, padding=1)
        self.third = nn.Conv2d(16, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pixel_shuffle(torch.tanh(self.first(x)), 2)
        return self.third(F.pixel_unshuffle(F.pad(self.second(x), (1, 1, 1, 1)), 2))


class MixerBlock(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.tokens = nn.Sequential(nn.Linear(tokens, 5), nn.GELU(), nn.Linear(5, tokens))
        self.channels = nn.Sequential(nn.Linear(width, 7), nn.GELU(), nn.Linear(7, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.tokens(self.norm1(x).mT).mT
        return x + self.channels(self.norm2(x))


class Mixer(nn.Module):
    """Tolstikhin et al., 2021: what a linear layer reads is a token, then a channel."""

    def __init__(self, size: int, patch: int, width: int) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.blocks = nn.Sequential(*(MixerBlock((size // patch) ** 2, width) for _ in range(2)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).mT
        return self.head(self.norm(self.blocks(x)).mean(1))


class Fire(nn.Module):
    def __init__(self, given: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(given, squeeze, 1)
        self.expand1 = nn.Conv2d(squeeze, expand, 1)
        self.expand3 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.squeeze(x), inplace=True)
        return torch.cat([F.relu(self.expand1(x)), F.relu(self.expand3(x))], 1)


class SqueezeNet(nn.Module):
    """Iandola et al., 2016."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 2)
        self.fires = nn.Sequential(Fire(width, 2, 3), nn.MaxPool2d(3, 2, ceil_mode=True), Fire(6, 2, 4))
        self.head = nn.Sequential(nn.Dropout(), nn.Conv2d(8, 3, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))

    def forward(self, x: Tensor) -> Tensor:
        return torch.flatten(self.head(self.fires(F.relu(self.stem(x)))), 1)


class CrossAttention(nn.Module):
    """torch's attention, queries of one input and keys and values of another, of another size."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(width, width), nn.Linear(width, 6)
        self.cross = nn.MultiheadAttention(width, heads, kdim=6, vdim=6, batch_first=True)
        self.same = nn.MultiheadAttention(width, heads, batch_first=True)
        self.head = nn.Linear(width, 3)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        x, memory = self.left(x), self.right(memory)
        x = x + self.cross(x, memory, memory, need_weights=False)[0]
        return self.head(x + self.same(x, x, x)[0])


class WaveNet(nn.Module):
    """van den Oord et al., 2016: dilated causal convolutions, gates, skips."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv1d(1, width, 1)
        self.pairs = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2**i) for i in range(2))
        self.skips = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(2))
        self.back = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(2))
        self.head = nn.Conv1d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        total = torch.zeros_like(x)
        for number, (pair, skip, back) in enumerate(zip(self.pairs, self.skips, self.back, strict=True)):
            signal, gate = pair(F.pad(x, (2**number, 0))).split(x.shape[1], 1)
            found = torch.tanh(signal) * torch.sigmoid(gate)
            total += skip(found)
            x = x + back(found)
        return self.head(F.relu(total))


class CellLoop(nn.Module):
    """Recurrent cells in a loop of Python."""

    def __init__(self, given: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTMCell(given, units)
        self.gru = nn.GRUCell(units, units)
        self.head = nn.Linear(units, 2)

    def forward(self, x: Tensor) -> Tensor:
        state, top = None, None
        for step in range(x.shape[1]):
            state = self.lstm(x[:, step], state)
            top = self.gru(state[0], top)
        return self.head(top)


class BagOfWords(nn.Module):
    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(tokens, width, mode="mean")
        self.inner = nn.Linear(width, width)
        self.head = nn.Linear(2 * width, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.bag(tokens)
        return self.head(torch.stack([x, self.inner(x)], -1).flatten(1))


class Bilinear(nn.Module):
    def __init__(self, left: int, right: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(left, 3), nn.Linear(right, 4)
        self.both = nn.Bilinear(3, 4, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.head(self.both(torch.tanh(self.left(left)), self.right(right)))


class Highway(nn.Module):
    """Srivastava et al., 2015, with writes in place to slices and masks."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Linear(width, width)
        self.change = nn.Linear(width, width)
        self.gate = nn.Linear(width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.enter(x)
        gate = torch.sigmoid(self.gate(x))
        found = torch.zeros_like(x)
        found[:, ::2] = (gate * self.change(x))[:, ::2]
        found[:, 1::2] += ((1 - gate) * x)[:, 1::2]
        return self.head(torch.where(found > -0.1, found, found * 0.2).flip(-1).roll(1, -1))
