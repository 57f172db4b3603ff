"""The command line `pixmodels COMMAND`: flags, and errors as one line.

What the commands do is in `_commands`; a config has the settings, so each
command has few flags.
"""

import argparse
import os
import sys
import traceback

_CONFIG_HELP = "a recipe (see --list) or a JSON file such as RUN/config.json"


def main(argv=None):
    """Runs one command.

    Args:
        argv: list of str; the process's arguments by default.

    Returns:
        int, the exit status: 0, 1 for an error of ours, 2 for a mistake of
        the user's (one line on stderr, no traceback unless `--debug` or
        PIXMODELS_DEBUG=1), 143 if SIGTERM ended a training run that was saved.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    args = _parser().parse_args(argv)
    debug = args.debug or os.environ.get("PIXMODELS_DEBUG", "0") not in (
        "",
        "0",
    )
    from pixmodels.training import _commands

    try:
        name = args.command.replace("-", "_")
        return getattr(_commands, name)(args) or 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if debug or not _is_for_the_user(error):
            traceback.print_exc()
        else:
            print(f"error: {_one_line(error)}", file=sys.stderr)
        return 2 if _is_for_the_user(error) else 1


def _is_for_the_user(error):
    """Whether the message alone tells what to do; else it is a bug of ours."""
    if isinstance(error, OSError | ImportError | FloatingPointError):
        return True
    return isinstance(error, TypeError | ValueError) and "Received" in str(
        error
    )


def _one_line(error):
    return " ".join(str(error).split())


def _parser():
    parser = argparse.ArgumentParser(
        prog="pixmodels",
        description="Models that read patches: images and text as images.",
    )
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND"
    )
    for add in (
        _add_render,
        _add_read,
        _add_render_corpus,
        _add_pretrain,
        _add_finetune,
        _add_launch,
        _add_evaluate,
        _add_runs,
        _add_benchmark,
        _add_compile_check,
        _add_export,
        _add_demo,
    ):
        command = add(commands)
        command.add_argument(
            "--debug", action="store_true", help="show tracebacks"
        )
    return parser


def _add_render(commands):
    command = commands.add_parser("render", help="draw text as a PNG")
    command.add_argument(
        "texts", nargs="+", help="one row each; - reads lines from stdin"
    )
    command.add_argument(
        "-o", "--output", required=True, help="PNG file to write"
    )
    command.add_argument(
        "--font",
        action="append",
        default=[],
        help="font file, repeatable, in the order of fallback",
    )
    command.add_argument(
        "--font-size", type=float, default=8.0, help="in points (default 8)"
    )
    command.add_argument(
        "--dpi", type=int, default=120, help="dots per inch (default 120)"
    )
    command.add_argument(
        "--max-patches",
        type=int,
        default=529,
        help="cut texts that need more 16-pixel patches (default 529)",
    )
    command.add_argument(
        "--layout",
        default="continuous",
        help="continuous (default), words, bigrams, mono or adaptive",
    )
    command.add_argument(
        "--noise",
        action="append",
        default=[],
        metavar="NAME:P",
        help="perturb texts, e.g. inner_swap:0.2; repeatable, in order",
    )
    return command


def _add_read(commands):
    command = commands.add_parser(
        "read", help="print the text of a PNG that render drew"
    )
    command.add_argument("image", help="picture, each row of patches a text")
    command.add_argument(
        "--script",
        action="append",
        default=[],
        help="ISO 15924 code of its letters, repeatable (default Latn)",
    )
    command.add_argument("--characters", help="look for these characters only")
    command.add_argument(
        "--font", action="append", default=[], help="as for render"
    )
    command.add_argument(
        "--font-size", type=float, default=8.0, help="in points (default 8)"
    )
    command.add_argument(
        "--dpi", type=int, default=120, help="dots per inch (default 120)"
    )
    command.add_argument(
        "--layout", default="continuous", help="continuous (default) or words"
    )
    return command


def _add_render_corpus(commands):
    command = commands.add_parser(
        "render-corpus", help="draw files of lines into shards for training"
    )
    command.add_argument(
        "inputs",
        nargs="*",
        metavar="INPUT",
        help="text file, a text a line, or folder of *.txt files",
    )
    command.add_argument(
        "-o", "--output", required=True, help="folder, new or begun"
    )
    command.add_argument(
        "--workers", type=int, help="processes (default one for each CPU)"
    )
    command.add_argument(
        "--shard-size", type=int, default=4096, help="texts (default 4096)"
    )
    command.add_argument(
        "--format", choices=("arrayrecord", "tfrecord"), default="arrayrecord"
    )
    command.add_argument(
        "--max-patches",
        type=int,
        default=529,
        help="cut texts that need more 16-pixel patches (default 529)",
    )
    command.add_argument(
        "--noise",
        action="append",
        default=[],
        metavar="NAME:P",
        help="perturb texts, e.g. inner_swap:0.2; repeatable, in order",
    )
    command.add_argument("--seed", type=int, default=0, help="of the noise")
    command.add_argument(
        "--no-text", action="store_true", help="leave the texts out"
    )
    command.add_argument(
        "--check", action="store_true", help="only check a finished folder"
    )
    return command


def _add_run(commands, name, text):
    command = commands.add_parser(name, help=text)
    command.add_argument("--config", metavar="NAME|FILE", help=_CONFIG_HELP)
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="change a setting, e.g. train.steps=100; repeatable",
    )
    command.add_argument(
        "--workdir", help="folder of the run (default runs/NAME)"
    )
    command.add_argument(
        "--strategy",
        help="one_device[:DEVICE], mirrored (all GPUs), mirrored:K (K CPU "
        "devices), multi_worker (TF_CONFIG or Slurm) or tpu[:NAME]",
    )
    command.add_argument(
        "--list", action="store_true", help="list the recipes and stop"
    )
    return command


def _add_pretrain(commands):
    return _add_run(commands, "pretrain", "reconstruct masked patches")


def _add_finetune(commands):
    return _add_run(commands, "finetune", "train a classifier")


def _add_launch(commands):
    command = commands.add_parser(
        "launch",
        help="train in several processes on this machine",
        usage="pixmodels launch --workers N -- pretrain|finetune ...",
    )
    command.add_argument(
        "--workers", type=int, default=2, help="processes (default 2)"
    )
    command.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="-- COMMAND ...",
        help="pretrain or finetune, with its flags",
    )
    return command


def _add_evaluate(commands):
    command = commands.add_parser("evaluate", help="metrics of a trained run")
    command.add_argument("--workdir", required=True, help="folder of the run")
    command.add_argument(
        "--split", default="test", help="which examples (default test)"
    )
    _add_checkpoint(command)
    return command


def _add_runs(commands):
    command = commands.add_parser(
        "runs", help="compare runs in a table and a plot"
    )
    command.add_argument(
        "folder",
        nargs="?",
        default="runs",
        metavar="DIR",
        help="folder with runs in it, at any depth (default runs)",
    )
    command.add_argument(
        "--sort",
        default="run",
        metavar="KEY",
        help="a key of --json, e.g. eval_loss (default run)",
    )
    command.add_argument("--reverse", action="store_true", help="largest first")
    command.add_argument(
        "--plot",
        metavar="FILE",
        help="where the losses are drawn (default DIR/runs.png)",
    )
    form = command.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")
    return command


def _add_benchmark(commands):
    command = commands.add_parser(
        "benchmark", help="ratios of times, measured side by side"
    )
    command.add_argument(
        "what",
        choices=(
            *("attention", "sequence", "step", "train-step", "long-pages"),
            *("renderer", "pipeline"),
        ),
    )
    command.add_argument(
        "--lengths",
        help="tokens, for attention (default 1024,4096) and sequence (default "
        "4096,16384,65536)",
    )
    command.add_argument(
        "--rounds",
        type=int,
        help="interleaved rounds (default 7; for renderer and --overhead 20)",
    )
    command.add_argument(
        "--text",
        action="append",
        default=[],
        metavar="FILE|FOLDER",
        help="running text, for renderer, long-pages and pipeline (.txt, .xz, "
        ".tar.xz); repeatable",
    )
    command.add_argument(
        "--workers",
        default="0,1,2",
        help="processes, for pipeline; 0: a thread (default 0,1,2)",
    )
    command.add_argument(
        "--attention",
        default="",
        metavar="NAME,...",
        help="mixers, for attention (default all), sequence (default all of "
        "its own) and long-pages (default softmax,local)",
    )
    command.add_argument(
        "--threads",
        type=int,
        default=1,
        help="for attention and sequence (default 1)",
    )
    command.add_argument(
        "--parts",
        default="",
        metavar="PART,...",
        help="for sequence: of core, step and model (default all)",
    )
    command.add_argument(
        "--peers",
        action="store_true",
        help="for attention: our layers beside those of packages for torch",
    )
    command.add_argument(
        "--kinds",
        default="",
        metavar="KIND,...",
        help="for attention (default all) and sequence (default core): of "
        "core, core+gradients, layer and layer+gradients",
    )
    command.add_argument(
        "--budget",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="for attention and sequence: calls that would take longer, by "
        "the growth so far, are left out (default 60)",
    )
    command.add_argument(
        "--plot",
        metavar="FILE",
        help="for attention and sequence: where times and memory over lengths "
        "are drawn",
    )
    command.add_argument(
        "--steps", type=int, default=200, help="for long-pages (default 200)"
    )
    command.add_argument(
        "--side",
        type=int,
        default=64,
        help="rows and columns of patches of a page, for long-pages "
        "(default 64)",
    )
    command.add_argument(
        "--output",
        default="long_pages",
        help="folder for the curves of long-pages (default long_pages)",
    )
    command.add_argument(
        "--size",
        default="base",
        help="of the model, for train-step: base (PIXEL's), small or tiny",
    )
    command.add_argument(
        "--batches",
        default="1,16",
        help="batch sizes, for train-step (default 1,16)",
    )
    command.add_argument(
        "--overhead",
        action="store_true",
        help="for train-step: our loop beside a bare XLA step (default "
        "--config pixel_tiny_cldr, 20 rounds)",
    )
    command.add_argument("--config", metavar="NAME|FILE", help=_CONFIG_HELP)
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY.PATH=VALUE"
    )
    return command


def _add_compile_check(commands):
    command = commands.add_parser(
        "compile-check", help="compile training steps for a TPU, without one"
    )
    command.add_argument(
        "--topology",
        default="v5e:2x4",
        help="kind of chip and how they lie (default v5e:2x4)",
    )
    command.add_argument("--config", metavar="NAME|FILE", help=_CONFIG_HELP)
    command.add_argument(
        "--batch", type=int, help="examples of all chips together"
    )
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY.PATH=VALUE"
    )
    command.add_argument(
        "--driver",
        choices=("both", "jax", "tensorflow"),
        default="both",
        help="whose step (default both)",
    )
    command.add_argument(
        "--no-largest",
        action="store_true",
        help="do not look for the largest batch of a chip that fits",
    )
    command.add_argument(
        "--mechanisms",
        nargs="?",
        const="all",
        metavar="NAMES",
        help="compile a block around each mixer, or around those of a list "
        "with commas",
    )
    return command


def _add_export(commands):
    command = commands.add_parser("export", help="write a SavedModel")
    command.add_argument("--workdir", required=True, help="folder of the run")
    command.add_argument("--output", required=True, help="folder to write")
    _add_checkpoint(command)
    return command


def _add_checkpoint(command):
    command.add_argument(
        "--checkpoint",
        default="latest",
        metavar="latest|best|STEP",
        help="which weights; best: by train.best_metric (default latest)",
    )
    command.add_argument(
        "--averaged",
        action="store_true",
        help="the averages of train.ema instead of the last weights",
    )


def _add_demo(commands):
    command = commands.add_parser(
        "demo", help="the whole thread, from text to a served model"
    )
    command.add_argument("--workdir", default="runs/demo")
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.PATH=VALUE",
        help="change a setting of the demo's runs; repeatable",
    )
    return command


if __name__ == "__main__":
    sys.exit(main())
