"""Adam as a pure function (Kingma and Ba, ICLR 2015, https://arxiv.org/abs/1412.6980)."""

from torch import Tensor

BETA_1, BETA_2, TINY = 0.9, 0.999, 1e-8


def step(g: Tensor, m: Tensor, v: Tensor, t: int) -> tuple[Tensor, Tensor, Tensor]:
    """The direction to subtract, times the rate, at step ``t`` = 1, 2, ...; and the new moments.

    m <- b1 m + (1 - b1) g,  v <- b2 v + (1 - b2) g^2,  u = m^ / (sqrt(v^) + 1e-8)
    """
    m = BETA_1 * m + (1 - BETA_1) * g
    v = BETA_2 * v + (1 - BETA_2) * g * g
    u = m / (1 - BETA_1**t) / ((v / (1 - BETA_2**t)).sqrt() + TINY)
    return u, m, v
