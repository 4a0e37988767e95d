"""Every architecture of the catalogue: size, shapes, and features in one way for all."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from poisoning import catalog, profiles
from poisoning.models import build, mobilenet, resnet
from poisoning.spec import PretrainSpec

# parameters at a number of classes, as published or counted in the papers' code
COUNTS = {
    ("resnet18", 10): 11_173_962,
    ("resnet18", 100): 11_220_132,
    ("vgg11", 10): 9_231_114,
    ("mobilenet_v2", 10): 2_296_922,
    ("mobilenet_v2_tiny", 200): 2_540_312,
    ("alexnet_frogs", 10): 1_756_426,
    ("alexnet_htbd", 10): 20_126_538,
    ("resnet32_clbd", 10): 464_154,
    ("vgg16_tiny", 200): 14_825_736,
    ("resnet34_tiny", 200): 21_387_272,
}


def images(name: str, n: int = 2) -> torch.Tensor:
    size = 64 if name.endswith("_tiny") else 32
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(0))


def net_for(name: str, num_classes: int = 7):
    return build(name, num_classes, 64 if name.endswith("_tiny") else 32, seed=0).eval()


@pytest.mark.parametrize(("name", "num_classes"), COUNTS)
def test_parameters_are_counted(name, num_classes):
    net = net_for(name, num_classes)
    assert sum(p.numel() for p in net.parameters()) == COUNTS[name, num_classes]


@pytest.mark.parametrize("name", catalog.MODELS)
def test_features_come_in_one_way_for_all(name):
    net, row, x = net_for(name), catalog.model(name), images(name)
    features = net.features(x)
    assert features.shape == (2, row.feature_dim) == (2, net.feature_dim)
    assert torch.equal(net(x), net.linear(features))
    assert net(x).shape == (2, 7) and net.num_classes == 7
    blocks = net.block_features(x)
    assert torch.equal(blocks[-1], features)
    assert len(blocks) == len(net.stages) >= 3


@pytest.mark.parametrize("name", catalog.MODELS)
def test_the_catalogue_states_the_measured_cost(name):
    from torch.utils.flop_counter import FlopCounterMode

    net, x = net_for(name, 10), images(name, 1)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(x)
    measured = counter.get_total_flops() / 1e6
    assert catalog.model(name).forward_mflop == pytest.approx(measured, rel=0.02, abs=0.5)


@pytest.mark.parametrize("name", catalog.MODELS)
def test_the_seed_decides_the_weights_and_nothing_else_does(name):
    torch.manual_seed(5)
    first = net_for(name).state_dict()
    following = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(torch.rand(1), following), "building with a seed moved the global state"
    again = net_for(name).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    other = build(name, 7, images(name).shape[-1], seed=1).state_dict()
    assert not torch.equal(first["linear.weight"], other["linear.weight"])


def test_only_the_hidden_trigger_alexnets_have_dropout():
    with_dropout = {
        name
        for name in catalog.MODELS
        if any(isinstance(module, nn.Dropout) for module in net_for(name).modules())
    }
    assert with_dropout == {"alexnet_htbd", "alexnet_htbd_w8"}


def test_resnet18_equals_its_equation():
    """The network against a plain walk through its own weights, in float64."""
    net, x = net_for("resnet18").double(), images("resnet18").double()
    weights = net.state_dict()

    def normed(y, at):
        mean, var = weights[f"{at}.running_mean"], weights[f"{at}.running_var"]
        return functional.batch_norm(y, mean, var, weights[f"{at}.weight"], weights[f"{at}.bias"])

    y = functional.conv2d(x, weights["stages.0.0.weight"], padding=1)
    y = normed(y, "stages.0.1").relu()
    for stage in range(1, 5):
        for block in range(2):
            at, stride = f"stages.{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            z = functional.conv2d(y, weights[f"{at}.conv1.weight"], stride=stride, padding=1)
            z = functional.conv2d(
                normed(z, f"{at}.bn1").relu(), weights[f"{at}.conv2.weight"], padding=1
            )
            if stride == 2:
                y = functional.conv2d(y, weights[f"{at}.shortcut.0.weight"], stride=2)
                y = normed(y, f"{at}.shortcut.1")
            y = (normed(z, f"{at}.bn2") + y).relu()
    assert torch.allclose(net.features(x), y.mean((2, 3)), atol=1e-12)


@pytest.mark.parametrize("name", profiles.STAND_INS.values())
def test_a_stand_in_has_the_same_features_for_larger_images_and_leaves_no_pixel_out(name):
    net, x = build(name, 7, 64, seed=0).eval(), images("vgg16_tiny").requires_grad_()
    features = net.features(x)
    assert features.shape == (2, catalog.model(name).feature_dim)
    gradient = torch.autograd.grad((features**2).sum(), x)[0]
    assert (gradient != 0).any(1).float().mean() > 0.5


def test_option_a_shortcut_subsamples_and_pads_with_zeros():
    x = torch.rand(1, 4, 6, 6)
    out = resnet.ZeroPadShortcut(4, 8, 2)(x)
    assert out.shape == (1, 8, 3, 3)
    assert torch.equal(out[:, 2:6], x[:, :, ::2, ::2])
    assert out[:, :2].abs().sum() == out[:, 6:].abs().sum() == 0


def test_inverted_residuals_have_a_shortcut_at_stride_one_only():
    assert mobilenet.InvertedResidual(8, 8, 6, 1).has_shortcut
    assert not mobilenet.InvertedResidual(8, 8, 6, 2).has_shortcut


def test_an_unknown_architecture_gets_a_suggestion():
    with pytest.raises(catalog.UnknownName, match="did you mean resnet18"):
        build("resnet-18", 10)


@pytest.mark.parametrize("name", catalog.MODELS)
@pytest.mark.parametrize("size", [32, 64])
def test_an_architecture_takes_the_sizes_it_says(name, size):
    x = torch.rand(2, 3, size, size)
    if catalog.model(name).image_size in (None, size):
        assert build(name, 5, size, seed=0).eval()(x).shape == (2, 5)
    else:
        dataset = "cifar10" if size == 32 else "tinyimagenet"
        with pytest.raises(ValueError, match="takes images of"):
            PretrainSpec(model=name, dataset=dataset)
