"""The command line. Commands import the parts that they need when they run, so that `--help` is instant."""

from __future__ import annotations

import os
import signal
import sys

import typer

from pocketgan import __version__, console, faults
from pocketgan.cli import (
    analyse,
    baseline,
    bundles,
    compare,
    concepts,
    coreset,
    devices,
    doctor,
    history,
    measure,
    models,
    models_export,
    pairs,
    pictures,
    quality,
    ranks,
    recipes,
    text,
)
from pocketgan.errors import PocketganError, storage_errors

_ABOUT = """Compress image-to-image GANs, export them for iPhone and Android, and measure frame rates.

Frame rates are those of this computer, which is no phone, or with --device android those of a phone's shell.
"""
app = typer.Typer(
    name="pocketgan",
    help=_ABOUT,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # Rich's help takes as long to import as all the rest of a command: 0.2 s
    context_settings={"max_content_width": 100},
)
# In the order of `pocketgan --help`: the way of a user.
app.command()(recipes.run)
app.add_typer(recipes.recipe)
app.add_typer(pairs.pairs)
app.command()(models.cost)
app.command()(models.search)
app.command("import-checkpoint")(models.import_checkpoint)
app.command()(text.text)
app.command()(coreset.coreset)
app.command()(concepts.adapt)
app.command()(concepts.merge)
app.command()(ranks.ranks)
app.add_typer(analyse.analyse)
app.command()(pictures.apply)
app.command()(models_export.export)
app.command()(measure.verify)
app.add_typer(bundles.bundle)
app.add_typer(baseline.baseline)
app.command()(devices.devices)
app.command()(measure.bench)
app.command()(compare.compare)
app.command()(measure.report)
app.add_typer(history.store)
app.command()(history.history)
app.command()(quality.quality)
app.command()(doctor.doctor)


def _version(show: bool) -> None:
    if show:
        print(__version__)
        raise typer.Exit()


@app.callback(help=_ABOUT)
def root(
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version."),
) -> None:
    """What concerns no single command."""


def main() -> None:
    """Run the command line and end the process with the exit code of the design: 0, 1, 2, 3 or, for a fault of
    pocketgan's own, 70."""
    console.use_json("--json" in sys.argv)
    try:
        with storage_errors("the output"):
            code = app(standalone_mode=False)
    except PocketganError as problem:
        console.error(str(problem))
        sys.exit(problem.exit_code)
    except typer.TyperException as problem:
        if type(problem).__name__ == "NoArgsIsHelpError":  # its message is the whole help; Typer exports no name for it
            print(problem.format_message(), file=sys.stderr)
            sys.exit(2)
        context = getattr(problem, "ctx", None)
        told = problem.format_message().replace(": Value error, ", ": ")  # pydantic's words, through Typer
        console.error(told + (f" (see: {context.command_path} --help)" if context else ""))
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        console.error("stopped; run the same command again to continue")
        sys.exit(130)
    except BrokenPipeError:
        # Whoever read the output, such as `head`, has enough; what is still buffered would raise again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as fault:
        console.error(faults.record(fault))
        sys.exit(faults.EXIT_CODE)
    sys.exit(code if isinstance(code, int) else 0)
