"""One process may train in one precision after the other."""

from pocketgan.training.processes import join


def test_stages_of_different_precision_follow_each_other():
    assert [join(precision).mixed_precision for precision in ("fp32", "bf16", "fp32")] == ["no", "bf16", "no"]
