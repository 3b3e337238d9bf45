"""Experiments on a base that users can repeat for theirs: several trainings on the same pairs, side by side."""
