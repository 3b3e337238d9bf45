"""`pocketgan ranks`."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli import learning
from pocketgan.cli.concepts import Base
from pocketgan.cli.options import Json, OutFile, parse_size
from pocketgan.cli.text import Encoder
from pocketgan.errors import BudgetError, require


def ranks(
    base: Base,
    data: learning.Pairs,
    text: learning.Text,
    out: OutFile,
    budget: Annotated[
        str, typer.Option("--budget", help="The most that is trained: a share of the base's parameters, or a number.")
    ] = "1.2%",
    start: Annotated[
        str | None,
        typer.Option("--start", metavar="D,DS,TB,US,U", help="Ranks to begin with.", show_default="those of adapt"),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Optimiser steps of every try.")] = 300,
    metric: learning.Metric = "lpips",
    lpips_weights: learning.LpipsWeights = None,
    encoder: Encoder = "sentence",
    batch_size: learning.BatchSize = 4,
    learning_rate: learning.LearningRate = 2e-4,
    size: learning.Size = None,
    coreset: learning.Coreset = None,
    seed: learning.Seed = 0,
    json: Json = False,
) -> None:
    """Search the ranks that LoRA deserves on a base.

    Each part's is doubled or halved within the budget, every try trained briefly and judged on 15 % of the training
    pairs, which it does not see. A search that was stopped goes on with the same command; `adapt --ranks FILE` takes
    what it wrote.
    """
    require("adapt", "peft")
    from pocketgan.training.adapter import Ranks
    from pocketgan.training.adapting import AdaptOptions
    from pocketgan.training.rank_judge import search_ranks_folder

    within = parse_budget(budget)
    begin = None if start is None else Ranks.parse(start)
    pixels = None if size is None else parse_size(size, "--size")
    only = learning.chosen_pictures(coreset)
    report = search_ranks_folder(
        base,
        data,
        learning.open_concept("ranks", text, encoder),
        AdaptOptions(steps, begin, batch_size=batch_size, learning_rate=learning_rate, seed=seed),
        out,
        **within,
        metric=metric,
        lpips_weights=lpips_weights,
        size=pixels,
        only=only,
    )
    found, told = Ranks.from_json(report["ranks"]), "LPIPS" if metric == "lpips" else "L1"
    rows = [
        (
            Ranks.from_json(row["ranks"]),
            f"{row['parameters']:,}",
            f"{row['share']:.2%}",
            f"{row[metric]:.4f}",
            "taken" if row["taken"] else "",
        )
        for row in report["tries"]
    ]
    console.result(
        {"out": str(out), **report},
        console.table(["ranks", "parameters", "share", told, ""], rows)
        + f"\n\n--ranks {found}   {told} {report[metric]:.4f}, {report['parameters']:,} parameters "
        f"({report['share']:.2%} of the base); written to {out}",
    )


def parse_budget(text: str) -> dict[str, Any]:
    """`1.2%` or `120000` -> the budget as `search_ranks_folder` takes it.

    Raises:
        BudgetError: it is neither.
    """
    match = re.fullmatch(r"(\d{1,12}(?:\.\d+)?)\s*(%?)", text.strip().replace(",", ""))
    if match is None or float(match[1]) == 0 or (not match[2] and "." in match[1]):
        raise BudgetError(f"--budget is a share of the base such as 1.2%, or a number of parameters, not {text!r}")
    return {"most_share": float(match[1]) / 100} if match[2] else {"most_parameters": int(match[1])}
