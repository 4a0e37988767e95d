"""MobileNetV2 for small images (Sandler et al., CVPR 2018), without the first two strides."""

from torch import Tensor, nn

from poisoning.models.network import GlobalMean, Network, conv_bn

# expansion, width, blocks, stride of the first block
GROUPS = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM, HEAD = 32, 1280


class InvertedResidual(nn.Module):
    """1x1 expansion, 3x3 depthwise, 1x1 projection without ReLU; shortcut at stride 1 only."""

    def __init__(self, width_in: int, width: int, expansion: int, stride: int) -> None:
        super().__init__()
        inner = width_in * expansion
        self.body = nn.Sequential(
            *conv_bn(width_in, inner, 1),
            nn.ReLU(inplace=True),
            *conv_bn(inner, inner, 3, stride, groups=inner),
            nn.ReLU(inplace=True),
            *conv_bn(inner, width, 1),
        )
        self.has_shortcut = stride == 1
        needs_projection = self.has_shortcut and width_in != width
        self.shortcut = conv_bn(width_in, width, 1) if needs_projection else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        if self.has_shortcut:
            out += self.shortcut(x)
        return out


def mobilenet_v2(num_classes: int, image_size: int = 32) -> Network:
    """MobileNetV2; 32x32 images end as 4x4 places and 64x64 as 8x8, both averaged to one."""
    stages: list[nn.Module] = [nn.Sequential(*conv_bn(3, STEM), nn.ReLU(inplace=True))]
    width_in = STEM
    for expansion, width, depth, stride in GROUPS:
        blocks = []
        for place in range(depth):
            blocks.append(InvertedResidual(width_in, width, expansion, stride if place == 0 else 1))
            width_in = width
        stages.append(nn.Sequential(*blocks))
    stages.append(nn.Sequential(*conv_bn(width_in, HEAD, 1), nn.ReLU(inplace=True), GlobalMean()))
    return Network(stages, HEAD, num_classes)
