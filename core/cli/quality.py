"""`pocketgan quality`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pocketgan import console
from pocketgan.cli.options import Json, parse_size
from pocketgan.errors import DataError, require

if TYPE_CHECKING:
    from pocketgan.training.quality.evaluate import Quality

Reference = Annotated[
    Path | None, typer.Argument(metavar="REFERENCE", help="Folder of real images; not needed for mIoU alone.")
]
Metrics = Annotated[
    str | None,
    typer.Option("--metric", help="fid, kid, lpips, miou, with commas; fid,kid where absent, and miou with a network."),
]
Inception = Annotated[
    str, typer.Option("--inception", help="Inception weights: auto, package, download, or a TorchScript file.")
]
LpipsWeights = Annotated[
    Path | None, typer.Option("--lpips-weights", help="The backbone's file; torchvision's download where absent.")
]
Segmentation = Annotated[
    Path | None, typer.Option("--segmentation", metavar="MODEL", help="Segmentation network, .onnx or TorchScript.")
]
Labels = Annotated[Path | None, typer.Option("--labels", metavar="DIR", help="Class-index PNGs named as GENERATED.")]
SegmentationScale = Annotated[
    str, typer.Option("--segmentation-scale", help="The network's input: imagenet, unit, signed or bytes.")
]
SegmentationSize = Annotated[
    str | None, typer.Option("--segmentation-size", metavar="HxW", help="Resize to this first, such as 256x512.")
]
Classes = Annotated[int | None, typer.Option("--classes", min=2, help="Number of classes, for label-map networks.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Threads that decode; one per core where absent.")
]

BETTER = {"fid": "lower", "kid": "lower", "lpips": "lower", "miou": "higher"}
FORMATS = {"fid": "{:.3f}", "kid": "{:.6f}", "lpips": "{:.4f}", "miou": "{:.4f}"}


def quality(
    generated: Annotated[Path, typer.Argument(metavar="GENERATED", help="Folder of generated images.")],
    reference: Reference = None,
    metric: Metrics = None,
    inception: Inception = "auto",
    lpips_net: Annotated[str, typer.Option("--lpips-net", help="Backbone of LPIPS: alex or vgg.")] = "alex",
    lpips_weights: LpipsWeights = None,
    segmentation: Segmentation = None,
    labels: Labels = None,
    segmentation_scale: SegmentationScale = "imagenet",
    segmentation_size: SegmentationSize = None,
    classes: Classes = None,
    ignore_index: Annotated[int, typer.Option("--ignore-index", help="Label of pixels that do not count.")] = 255,
    batch_size: Annotated[int, typer.Option("--batch-size", min=1, help="Images per forward pass.")] = 32,
    workers: Workers = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the subsets that KID draws.")] = 0,
    json: Json = False,
) -> None:
    """FID, KID, LPIPS and mIoU of a folder of images.

    FID and KID are clean-fid's.
    """
    require("quality", "torch", "torchvision", "cleanfid", "lpips", "scipy", "safetensors")
    from pocketgan.doctor import check_torch_pair

    check_torch_pair()
    from pocketgan.training.quality.evaluate import Options, check_metrics, evaluate
    from pocketgan.training.quality.segmentation import Judging

    options = Options(
        metrics=check_metrics(_metrics(metric, reference, segmentation)),
        inception=inception,
        lpips_net=lpips_net,  # type: ignore[arg-type]  # checked where it is used
        lpips_weights=lpips_weights,
        segmentation=segmentation,
        labels=labels,
        judging=Judging(
            segmentation_scale,  # type: ignore[arg-type]  # checked where it is used
            None if segmentation_size is None else parse_size(segmentation_size, "--segmentation-size"),
            classes,
            ignore_index,
        ),
        batch_size=batch_size,
        workers=workers,
        device=device,
        seed=seed,
    )
    answer = evaluate(generated, reference, options)
    for warning in answer.warnings:
        console.note(f"note: {warning}")
    payload = {
        "generated": str(generated),
        "reference": None if reference is None else str(reference),
        "metrics": {name: measurement.as_dict() for name, measurement in answer.measurements.items()},
        "device": answer.device,
        "warnings": answer.warnings,
    }
    console.result(payload, _text(answer))


def _metrics(names: str | None, reference: Path | None, segmentation: Path | None) -> list[str]:
    if names is not None:
        return [name.strip() for name in names.split(",")]
    defaults = ([] if reference is None else ["fid", "kid"]) + ([] if segmentation is None else ["miou"])
    if not defaults:
        raise DataError("name a folder of reference images, or a network with --segmentation and --labels")
    return defaults


def _text(answer: Quality) -> str:
    rows: list[tuple[Any, ...]] = []
    for name, one in answer.measurements.items():
        weights = f"{one.weights.file} ({one.weights.origin}, {one.weights.sha256[:12]})"
        images = (one.generated_images, one.reference_images)
        rows.append((name, FORMATS[name].format(one.value), BETTER[name], *images, f"{one.seconds:.1f}", weights))
    columns = ("metric", "value", "better", "generated", "reference", "seconds", "weights")
    blocks = [console.table(columns, rows)]
    if "miou" in answer.measurements:
        per_class = answer.measurements["miou"].more["per_class"]
        cells = [(index, "-" if iou is None else f"{iou:.4f}") for index, iou in enumerate(per_class)]
        blocks.append(console.table(("class", "IoU"), cells))
    return "\n\n".join(blocks)
