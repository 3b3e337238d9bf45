"""What people give as a model that is none, by its name, and what each is good for instead."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

# Weights, or whole pickled modules; neither holds a network that could be built without its code.
_CHECKPOINTS = (".pth", ".pt", ".ckpt", ".bin", ".pkl", ".tar")
# Finished files of runtimes that `pocketgan bundle pack` takes, by the option's name.
_FINISHED = {".onnx": "onnx", ".pte": "pte", ".mlpackage": "mlpackage"}
_FOREIGN = {".tflite": "TensorFlow Lite", ".mlmodel": "an older form of Core ML", ".h5": "Keras", ".pb": "TensorFlow"}


def advice(text: str) -> str | None:
    """One line that says what `text` is and what to do with it; None where nothing is known against it."""
    called = re.fullmatch(r"(.+)\.py(?::(\w*))?", text)
    if called is None and Path(f"{text}.py").is_file():
        return _python(text, "FUNCTION")
    if called is not None:
        return _python(called[1], called[2] or "FUNCTION")
    path = Path(text)
    suffix, quoted = path.suffix.lower(), shlex.quote(text)
    known = (*_CHECKPOINTS, *_FINISHED, *_FOREIGN, ".pgb")
    if suffix in known and not path.exists():
        return f"there is no file {text}"
    bundle = shlex.quote(f"{path.stem}.pgb")
    if suffix in _FINISHED:
        return (
            f"{text} is a finished file, which is not exported again; to measure it: "
            f"pocketgan bundle pack --{_FINISHED[suffix]} {quoted} --out {bundle}"
        )
    if suffix in _CHECKPOINTS:
        return (
            f"{text} holds weights and not the network that they are for. Of pix2pix, CycleGAN, pix2pixHD, SPADE, CAT, "
            f"GAN Compression or OMGD: pocketgan import-checkpoint {quoted} --family resnet9 --out "
            f"{shlex.quote(f'{path.stem}.safetensors')}. "
            "Of your own network: give package.module:function, a function that builds it, loads them and returns it"
        )
    if suffix == ".pgb":
        return f"{text} is a bundle, exported already: pocketgan bundle inspect {quoted}, pocketgan bench {quoted}"
    if suffix in _FOREIGN:
        return (
            f"{text} is a file of {_FOREIGN[suffix]}, which pocketgan does not read; it takes PyTorch networks "
            "(package.module:function), and packs .onnx, .pte and .mlpackage (pocketgan bundle pack)"
        )
    return None


def _python(stem: str, function: str) -> str:
    """For `folder/own.py:net` the name that Python gives it from the working folder, `folder.own:net`."""
    path = Path(stem)
    if path.is_absolute() and path.is_relative_to(Path.cwd()):
        path = path.relative_to(Path.cwd())
    name = ".".join(path.parts)
    if path.is_absolute() or not re.fullmatch(r"\w+(\.\w+)*", name):
        return f"{stem}.py: go to its folder and give {path.name}:{function}, the function that returns the network"
    what = "a function is named as Python imports it" if function != "FUNCTION" else "name the function in it"
    return f"{stem}.py: {what}, from the working folder: {name}:{function}"
