"""UGC's filter of pseudo-labels, as it is printed."""

import pytest
import torch

from pocketgan.training.score_filter import ScoreFilter, image_scores


def test_of_scores_above_the_mean_half_are_used_and_of_others_all():
    keep = ScoreFilter(momentum=1.0)
    keep(torch.tensor([1.0, 3.0]))  # the mean begins at 2 and stays there
    torch.manual_seed(0)
    used = torch.stack([keep(torch.tensor([1.9, 2.0, 2.1])) for _ in range(1000)]).float().mean(0)
    assert used[:2].tolist() == [1, 1]
    assert 0.45 < used[2].item() < 0.55  # three standard deviations of 1000 even draws


def test_the_mean_moves_after_the_decision():
    keep = ScoreFilter(momentum=0.9, probability=0.0)
    assert keep(torch.tensor([0.0, 2.0])).tolist() == [True, False]  # against 1, their own mean
    assert keep(torch.tensor([5.0])).tolist() == [False]
    assert keep.mean.item() == pytest.approx(0.9 * 1 + 0.1 * 5)
    assert keep(torch.tensor([1.3, 1.5])).tolist() == [True, False]
    assert keep.mean.item() == pytest.approx(0.9 * 1.4 + 0.1 * 1.4)


def test_a_filter_goes_on_from_its_state_with_the_same_decisions():
    scores = torch.linspace(-1, 1, 40).reshape(10, 4)
    whole, first, second = ScoreFilter(), ScoreFilter(), ScoreFilter()

    def decide(keep, steps):
        found = []
        for step in steps:
            torch.manual_seed(step)
            found.append(keep(scores[step]).tolist())
        return found

    expected = decide(whole, range(10))
    found = decide(first, range(4))
    second.load_state_dict(first.state_dict())
    assert found + decide(second, range(4, 10)) == expected
    assert torch.equal(second.mean, whole.mean)


def test_one_score_changes_no_decision_about_another():
    decisions = []
    for other in (-9.0, 9.0):
        keep = ScoreFilter(momentum=1.0)
        keep(torch.zeros(1))
        torch.manual_seed(3)
        decisions.append([keep(torch.tensor([other, 1.0, 1.0]))[1:].tolist() for _ in range(20)])
    assert decisions[0] == decisions[1]


def test_an_images_score_is_the_mean_of_its_patches_and_of_its_scales():
    large = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]], [[[0.0, 0.0], [0.0, 2.0]]]])
    small = torch.tensor([[[[8.0]]], [[[1.0]]]])
    assert image_scores(large).tolist() == [4.0, 0.5]
    assert image_scores([large, small]).tolist() == [6.0, 0.75]
    assert ScoreFilter()(image_scores(large.requires_grad_())).requires_grad is False
