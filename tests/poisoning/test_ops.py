import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from poisoning.ops import adam, projections


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10_000), eps_255=st.sampled_from([1, 8, 16, 25.5, 255]))
def test_linf_lands_in_the_ball_and_the_box_and_nowhere_nearer_exists(seed, eps_255):
    generator = torch.Generator().manual_seed(seed)
    x_b = torch.randint(0, 256, (2, 3, 4, 4), generator=generator) / 255
    x = torch.randn(2, 3, 4, 4, generator=generator) * 2
    eps = projections.radius(eps_255)
    projected = projections.linf(x, x_b, eps)
    assert (projected - x_b).abs().max() <= eps + 1e-6
    assert projected.min() >= 0 and projected.max() <= 1
    # the set is a box, so the nearest point is the nearest in every coordinate
    lower, upper = (x_b - eps).clamp(min=0), (x_b + eps).clamp(max=1)
    assert torch.allclose(projected, torch.maximum(torch.minimum(x, upper), lower))


def test_linf_leaves_what_is_inside():
    x_b = torch.full((1, 3, 2, 2), 0.5)
    x = x_b + 0.01
    assert torch.equal(projections.linf(x, x_b, 8 / 255), x)


@pytest.mark.parametrize(("eps_255", "steps"), [(8, 8), (25.5, 25), (0.5, 0), (255, 255)])
def test_radius_counts_whole_steps_only(eps_255, steps):
    assert projections.radius(eps_255) == steps / 255


def test_adam_follows_torch_for_forty_steps():
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, 7, generator=generator)
    parameter = torch.nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([parameter], lr=0.04)
    x, m, v = start, torch.zeros_like(start), torch.zeros_like(start)
    for t in range(1, 41):
        g = torch.randn(5, 7, generator=generator)
        parameter.grad = g.clone()
        optimizer.step()
        u, m, v = adam.step(g, m, v, t)
        x = x - 0.04 * u
    assert torch.allclose(x, parameter.detach(), atol=1e-6)
