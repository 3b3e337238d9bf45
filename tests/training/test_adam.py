"""Adam does the same to weights in either order."""

import pytest
import torch
from torch import nn

from pocketgan.training.adam import Adam


def stepped(optimiser_of, layout, gradients_layout):
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(5, 7, 3), nn.Conv2d(7, 2, 1), nn.Conv2d(2, 2, 3, groups=2))
    layers = layers.to(memory_format=layout)  # type: ignore[call-overload]
    optimiser = optimiser_of(list(layers.parameters()))
    for _ in range(3):
        for parameter in layers.parameters():
            gradient = torch.randn(parameter.shape)
            parameter.grad = gradient.contiguous(memory_format=gradients_layout) if gradient.dim() == 4 else gradient
        optimiser.step()
    return layers, optimiser


@pytest.mark.parametrize("of_gradients", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("of_weights", [torch.contiguous_format, torch.channels_last])
def test_it_is_torchs_adam_whatever_the_order(of_weights, of_gradients):
    plain, _ = stepped(
        lambda parameters: torch.optim.Adam(parameters, 1e-2, (0.5, 0.9)), *[torch.contiguous_format] * 2
    )
    layers, optimiser = stepped(lambda parameters: Adam(parameters, 1e-2, (0.5, 0.9)), of_weights, of_gradients)
    pairs = zip(plain.parameters(), layers.parameters(), strict=True)
    assert all(torch.allclose(told, found, atol=1e-6) for told, found in pairs)
    for parameter, state in optimiser.state.items():
        assert state["exp_avg"].shape == parameter.shape
        assert {state["exp_avg"].dtype, state["exp_avg_sq"].dtype} == {torch.float32}
        assert state["step"].item() == 3
