"""How sentences and numbers are set on pages."""

import pytest
from markupsafe import Markup

from app.web import words


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        ("-16.1 [-40.2, +7.9]", "−16.1 [−40.2, +7.9]"),
        ("agrees: -62.5 points", "agrees: −62.5 points"),
        ("from 5-9, ResNet-18 at 1e-05, 2026-11-30", "from 5-9, ResNet-18 at 1e-05, 2026-11-30"),
        ("-", "-"),
        ("convnet3-digits_0_4-s0", "convnet3-digits_0_4-s0"),
    ],
)
def test_a_minus_before_a_number_is_one_and_a_hyphen_stays(made: str, shown: str) -> None:
    assert words.true_minus(made) == shown


def test_a_sentence_breaks_neither_in_a_white_box_nor_before_a_unit() -> None:
    shown = words.unbroken("Fools 3 of 4 white-box victims (75.0 % ± 21.7), <b> & Black-box ones")
    assert isinstance(shown, Markup)
    assert '<span class="text-nowrap">white-box</span> victims (75.0\u00a0%\u00a0±' in shown
    assert '<span class="text-nowrap">Black-box</span>' in shown
    assert "&lt;b&gt; &amp;" in shown
