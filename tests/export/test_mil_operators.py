"""Operations of Core ML's programs, by the examples and formulas of the MIL specification."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("coremltools")

from pocketgan.export.mil.operators import OPERATORS  # noqa: E402


def _run(name, *values, **options):
    arguments = {
        key: torch.as_tensor(value) if not isinstance(value, str | list) else value for key, value in options.items()
    }
    return OPERATORS[name](*map(torch.as_tensor, values), **arguments)


def test_an_average_pool_divides_by_the_whole_kernel():
    ones, kernel = torch.ones(1, 1, 5, 5), {"kernel_sizes": torch.tensor([2, 2]), "strides": torch.tensor([2, 2])}
    found = _run("avg_pool", ones, **kernel, ceil_mode=True)
    assert found[0, 0].tolist() == [[1, 1, 0.5], [1, 1, 0.5], [0.5, 0.5, 0.25]]
    kept = _run("avg_pool", ones, **kernel, ceil_mode=True, exclude_padding_from_average=True)
    assert torch.equal(kept, torch.ones(1, 1, 3, 3))


@pytest.mark.parametrize(("size", "pad", "windows"), [(5, 0, 2), (7, 0, 3), (5, 1, 2), (6, 1, 3)])
def test_ceil_mode_has_the_specified_number_of_windows(size, pad, windows):
    """ceil((size + 2 pad - 2) / 3) + 1, less one that begins beyond a padded input."""
    found = _run(
        "max_pool", torch.rand(1, 1, size, size), kernel_sizes=torch.tensor([2, 2]), strides=torch.tensor([3, 3]),
        pad_type="custom", pad=torch.full((4,), pad), ceil_mode=True,
    )  # fmt: skip
    assert found.shape[2:] == (windows, windows)


def test_left_out_epsilons_are_the_specified_ones():
    zero = torch.zeros(1)
    assert float(_run("inverse", zero)) == pytest.approx(1e4)
    assert float(_run("rsqrt", zero)) == pytest.approx(1e6)
    assert float(_run("log", zero)) == pytest.approx(math.log(1e-45), abs=0.5)  # of the smallest float32


@pytest.mark.parametrize(
    ("mode", "points"),
    [
        ("STRICT_ALIGN_CORNERS", [0.0, 0.25, 0.5, 0.75, 1.0]),
        ("DEFAULT", [0.0, 0.4, 0.8, 1.0, 1.0]),
        ("OFFSET_CORNERS", [0.1, 0.3, 0.5, 0.7, 0.9]),
        ("UNALIGN_CORNERS", [0.0, 0.1, 0.5, 0.9, 1.0]),
    ],
)
def test_bilinear_samples_lie_where_the_specification_says(mode, points):
    """Its example: two pixels, 0 and 1, so that a sample is its grid point."""
    two = torch.tensor([0.0, 1.0]).expand(1, 1, 1, 2)
    found = _run("resize_bilinear", two, target_size_height=1, target_size_width=5, sampling_mode=mode)
    assert found.flatten().tolist() == pytest.approx(points, abs=1e-6)


def test_corners_are_aligned_when_a_picture_is_scaled():
    two = torch.tensor([0.0, 1.0]).expand(1, 1, 1, 2)
    assert _run("upsample_bilinear", two, scale_factor_width=3).flatten().tolist() == pytest.approx(
        [0, 0.2, 0.4, 0.6, 0.8, 1], abs=1e-6
    )


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("sigmoid_hard", {"alpha": 0.2, "beta": 0.5}, [0.0, 0.3, 0.5, 0.7, 1.0]),
        ("clamped_relu", {"alpha": 0.1, "beta": 1.5}, [-0.4, -0.1, 0.0, 1.0, 1.5]),
        ("thresholded_relu", {"alpha": 1.0}, [0.0, 0.0, 0.0, 1.0, 4.0]),
        ("linear_activation", {"alpha": 2.0, "beta": 1.0}, [-7.0, -1.0, 1.0, 3.0, 9.0]),
        ("softsign", {}, [-0.8, -0.5, 0.0, 0.5, 0.8]),
        ("threshold", {"alpha": -2.0}, [-2.0, -1.0, 0.0, 1.0, 4.0]),
        ("sign", {}, [-1.0, -1.0, 0.0, 1.0, 1.0]),
        ("reverse", {}, [4.0, 1.0, 0.0, -1.0, -4.0]),
        ("cumsum", {"exclusive": True}, [0.0, -4.0, -5.0, -5.0, -4.0]),
        ("cumsum", {"reverse": True}, [0.0, 4.0, 5.0, 5.0, 4.0]),
        ("argsort", {}, [4, 3, 2, 1, 0]),
        ("gather", {"indices": [0, -1, 3]}, [-4.0, 4.0, 1.0]),
        ("flatten2d", {"axis": -1}, [[-4.0, -1.0, 0.0, 1.0, 4.0]]),
        ("reduce_min", {}, -4.0),
        ("reduce_l2_norm", {}, math.sqrt(34)),
        ("reduce_log_sum_exp", {}, math.log(sum(math.exp(x) for x in (-4, -1, 0, 1, 4)))),
    ],
)
def test_five_numbers(name, options, expected):
    arguments = {key: torch.tensor(value) for key, value in options.items()}
    found = OPERATORS[name](torch.tensor([-4.0, -1, 0, 1, 4]), **arguments)
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-5, atol=1e-6)


def test_values_are_chosen_and_joined_as_specified():
    x = torch.tensor([[1, 2], [3, 4], [5, 6]])
    other = torch.tensor([[7, 8], [9, 10], [11, 12]])
    joined = OPERATORS["concat"](values=[x, other], axis=torch.tensor(0), interleave=torch.tensor(True))
    assert joined.tolist() == [[1, 2], [7, 8], [3, 4], [9, 10], [5, 6], [11, 12]]
    assert OPERATORS["select"](cond=x > 3, a=x, b=other).tolist() == [[7, 8], [9, 4], [5, 6]]
    assert OPERATORS["gather"](x=x, indices=torch.tensor([[1], [0]]), axis=torch.tensor(1)).tolist() == [
        [[2], [1]], [[4], [3]], [[6], [5]],
    ]  # fmt: skip
    along = OPERATORS["gather_along_axis"](x=x, indices=torch.tensor([[1, 0], [0, 2]]), axis=torch.tensor(0))
    assert along.tolist() == [[3, 2], [1, 6]]
    assert OPERATORS["gather_nd"](x=x, indices=torch.tensor([[2, 0], [0, 1]])).tolist() == [5, 2]
    assert OPERATORS["band_part"](x, lower=torch.tensor(0), upper=torch.tensor(-1)).tolist() == [[1, 2], [0, 4], [0, 0]]
    hot = OPERATORS["one_hot"](indices=torch.tensor([1, 0]), one_hot_vector_size=torch.tensor(3))
    assert hot.tolist() == [[0, 1, 0], [1, 0, 0]]
    values, indices = OPERATORS["topk"](x, k=torch.tensor(1), axis=torch.tensor(0))
    assert (values.tolist(), indices.tolist()) == ([[5, 6]], [[2, 2]])


def test_negative_indices_mean_nothing_since_ios_17():
    with pytest.raises(NotImplementedError, match="since iOS 17"):
        OPERATORS["gather"](x=torch.arange(3), indices=torch.tensor([-1]), validate_indices=torch.tensor(False))
