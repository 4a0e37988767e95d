import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from poisoning.ops import adam, projections, shifts


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


def grid_sampled(z, dy, dx, flip):
    """The same translation and flip by torch's own sampler."""
    height, width = z.shape[2:]
    lines = (torch.linspace(-1, 1, size, dtype=z.dtype) for size in (height, width))
    y, x = (line.view(shape) for line, shape in zip(lines, [(1, -1, 1), (1, 1, -1)], strict=True))
    y = y + 2 * dy[:, None, None] / (height - 1)
    x = x + 2 * dx[:, None, None] / (width - 1)
    x = torch.where(flip[:, None, None], -x, x)
    shape = (len(z), height, width)
    grid = torch.stack([x.expand(shape), y.expand(shape)], 3)
    return torch.nn.functional.grid_sample(z, grid, "bilinear", align_corners=True)


@pytest.mark.parametrize("size", [(8, 8), (6, 11)])
def test_shifts_equal_grid_sample_and_so_do_their_gradients(size):
    generator = torch.Generator().manual_seed(3)
    z = torch.randn(40, 3, *size, generator=generator, dtype=torch.float64, requires_grad=True)
    drawn = shifts.draw(generator, 40, 2.5)
    moved = shifts.Shifts(drawn.dy.double(), drawn.dx.double(), drawn.flip)
    ours, theirs = moved(z), grid_sampled(z, moved.dy, moved.dx, moved.flip)
    assert torch.allclose(ours, theirs, atol=1e-12)
    upstream = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
    (a,), (b,) = (torch.autograd.grad(out, z, upstream) for out in (ours, theirs))
    assert torch.allclose(a, b, atol=1e-12)


def test_whole_shifts_move_pixels_and_let_nothing_in():
    z = torch.rand(1, 1, 5, 5) + 1
    none, one = torch.zeros(1), torch.ones(1)
    still, flip = torch.tensor([False]), torch.tensor([True])
    assert torch.equal(shifts.Shifts(none, none, still)(z), z)
    assert torch.equal(shifts.Shifts(none, none, flip)(z), z.flip(3))
    down = shifts.Shifts(one, none, still)(z)
    assert torch.equal(down[:, :, :4], z[:, :, 1:]) and (down[:, :, 4] == 0).all()


def test_drawn_shifts_are_uniform_and_flips_are_even():
    drawn = shifts.draw(torch.Generator().manual_seed(0), 20_000, 4)
    for shift in (drawn.dy, drawn.dx):
        assert shift.abs().max() <= 4
        assert shift.mean().item() == pytest.approx(0, abs=0.06)
        assert shift.std().item() == pytest.approx(8 / 12**0.5, rel=0.02)
    assert drawn.flip.float().mean().item() == pytest.approx(0.5, abs=0.015)
