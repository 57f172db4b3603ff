"""What each command of the command line does; one function per command.

Flags and errors are in `main`; the work is done by the modules named here.
"""

import inspect
import json
from pathlib import Path

from pixmodels.training import _quiet
from pixmodels.training import _settings
from pixmodels.training import drivers
from pixmodels.training import recipes


def render(args):
    """Draws texts, one row each, and reports what was cut or has no glyph."""
    from pixmodels.training import _render

    _render.run(
        args.texts,
        args.output,
        fonts=args.font,
        font_size=args.font_size,
        dpi=args.dpi,
        max_patches=args.max_patches,
        layout=args.layout,
        noise=args.noise,
    )


def read(args):
    """Prints the text in a picture that `render` drew."""
    from pixmodels.training import _read

    _read.run(
        args.image,
        fonts=args.font,
        font_size=args.font_size,
        dpi=args.dpi,
        layout=args.layout,
        scripts=args.script,
        characters=args.characters,
    )


def render_corpus(args):
    """Draws files of lines into shards, or checks a folder of them."""
    from pixmodels.training import _corpus

    if args.check:
        return _corpus.check(args.output)
    return _corpus.run(
        args.inputs,
        args.output,
        workers=args.workers,
        shard_size=args.shard_size,
        format=args.format,
        noise=args.noise,
        seed=args.seed,
        keep_text=not args.no_text,
        max_patches=args.max_patches,
    )


def pretrain(args):
    """Trains a masked autoencoder."""
    return _train(args, "pretrain")


def launch(args):
    """Runs a training command in several processes on this machine."""
    from pixmodels.training import launch as launch_lib

    return launch_lib.run(args.arguments, args.workers)


def finetune(args):
    """Trains a backbone with a head."""
    return _train(args, "finetune")


def evaluate(args):
    """Prints the metrics of a run's checkpoint."""
    drivers.load()
    from pixmodels.training import experiment
    from pixmodels.training import progress

    run = experiment.load_run(
        args.workdir, args.checkpoint, args.averaged or None
    )
    metrics = run.evaluate(args.split)
    print(f"{args.split} at step {run.step}: {progress.metric_text(metrics)}")


def runs(args):
    """Compares the runs in a folder."""
    from pixmodels.training import _runs

    _runs.run(
        args.folder,
        sort=args.sort,
        reverse=args.reverse,
        plot=args.plot,
        form="json" if args.json else "csv" if args.csv else "table",
    )


def benchmark(args):
    """Prints ratios of times."""
    from pixmodels.training import benchmarks

    rounds = args.rounds
    if rounds is None:
        rounds = 20 if args.overhead or args.what == "renderer" else 7
    if rounds < 1:
        raise ValueError(
            f"Expected at least one round. Received: --rounds {rounds}"
        )
    if args.what == "renderer":
        _benchmark_renderer(args.text, rounds)
        return
    if args.what == "long-pages":
        _benchmark_pages(args)
        return
    if args.what == "train-step" and args.overhead:
        from pixmodels.training import _overhead_benchmark

        _quiet.load_tensorflow()
        config = recipes.load(args.config or "pixel_tiny_cldr")
        config = _settings.override(config, args.set)
        _overhead_benchmark.run(config, rounds=rounds)
        return
    if args.what == "train-step":
        from pixmodels.training import _step_benchmark

        _step_benchmark.run(
            size=args.size,
            batches=_whole_numbers("--batches", args.batches),
            rounds=rounds,
        )
        return
    _quiet.load_tensorflow()
    if args.what == "pipeline":
        _benchmark_pipeline(args, rounds)
        return
    if args.what == "attention":
        _benchmark_attention(args, rounds)
    elif args.what == "sequence":
        _benchmark_sequence(args, rounds)
    else:
        config = recipes.load(args.config or "digits_vit")
        benchmarks.step(_settings.override(config, args.set), rounds)


def _benchmark_attention(args, rounds):
    from pixmodels import attention

    names = _names(args.attention) or attention.names()
    lengths = _whole_numbers("--lengths", args.lengths or "1024,4096")
    if args.peers:
        from pixmodels.training import _peer_benchmark

        _peer_benchmark.run(names, lengths, rounds=rounds, threads=args.threads)
        return
    from pixmodels.training import _attention_benchmark

    _attention_benchmark.run(
        names,
        lengths,
        rounds=rounds,
        kinds=_names(args.kinds) or tuple(_attention_benchmark.KINDS),
        threads=args.threads,
        budget=args.budget,
        plot=args.plot,
    )


def _benchmark_sequence(args, rounds):
    from pixmodels.training import _sequence_benchmark

    lengths = args.lengths or "4096,16384,65536"
    _sequence_benchmark.run(
        _names(args.attention) or _sequence_benchmark.DEFAULT,
        _whole_numbers("--lengths", lengths),
        parts=_names(args.parts) or _sequence_benchmark.PARTS,
        rounds=rounds,
        kinds=_names(args.kinds) or ("core",),
        threads=args.threads,
        budget=args.budget,
        plot=args.plot,
    )


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


def _benchmark_pipeline(args, rounds):
    from pixmodels.training import _pipeline_benchmark

    config = recipes.load(args.config or "pixel_tiny_text")
    changes = list(args.set)
    if args.text:
        paths = [str(Path(path).absolute()) for path in args.text]
        options = json.dumps({**config.data.options, "paths": paths})
        changes = [
            *["data.name=text", f"data.options={options}"],
            *changes,
        ]
    config = _settings.override(config, changes)
    workers = _whole_numbers("--workers", args.workers, least=0)
    _pipeline_benchmark.run(config, workers=workers, rounds=rounds)


def _benchmark_pages(args):
    from pixmodels.training import _long_pages

    _need_text(args.text)
    names = _names(args.attention or "softmax,local")
    _quiet.load_tensorflow()
    from pixmodels import attention

    for name in names:
        attention.get(name)  # ValueError for what is none.
    _long_pages.run(
        args.text,
        mixers={name: {} for name in names},
        output=args.output,
        side=args.side,
        steps=args.steps,
    )


def _need_text(texts):
    if not texts:
        raise ValueError(
            "Expected running text to draw: --text FILE. Received: none"
        )


def _benchmark_renderer(texts, rounds):
    from pixmodels.training import _renderer_benchmark

    _need_text(texts)
    _renderer_benchmark.run(texts, rounds=rounds)


def export(args):
    """Writes a run's checkpoint as a SavedModel."""
    _quiet.load_tensorflow()
    from pixmodels import saved_models
    from pixmodels.training import experiment

    run = experiment.load_run(
        args.workdir, args.checkpoint, args.averaged or None
    )
    text = run.config.model.reads_text
    renderer = experiment.build_renderer(run.config) if text else None
    saved_models.export(run.model, args.output, renderer=renderer)
    print(f"step {run.step} of {args.workdir} -> {args.output}")


def compile_check(args):
    """Compiles training steps for a TPU that is only described."""
    from pixmodels.training import compile_check as compile_check_lib

    config = None
    if args.config:
        changes = list(args.set)
        if args.batch is not None:
            changes.append(f"train.batch_size={args.batch}")
        config = _settings.override(recipes.load(args.config), changes)
    elif not args.mechanisms:
        raise ValueError(
            "Expected --config with a recipe or a JSON file, or --mechanisms. "
            "Received: neither"
        )
    mechanisms = _mixers(args.mechanisms) if args.mechanisms else None
    compile_check_lib.run(
        args.topology,
        config,
        drivers=("jax", "tensorflow")
        if args.driver == "both"
        else (args.driver,),
        mechanisms=mechanisms,
        largest=not args.no_largest,
    )


def _mixers(text):
    """Names of mixers from "all" or a list with commas."""
    from pixmodels import attention

    if text == "all":
        return attention.names()
    names = _names(text)
    for name in names:
        attention.get(name)
    return names


def demo(args):
    """Runs the demo."""
    from pixmodels.training import demo as demo_lib

    demo_lib.run(args.workdir, overrides=args.set)


def _train(args, task):
    if args.list:
        _list_recipes(args, task)
        return 0
    config = _resolve(args, task)
    drivers.load()
    from pixmodels.training import experiment

    # Logical devices must be made, and other processes met, before anything
    # starts the framework.
    train = config.train
    is_chief = drivers.prepare(train.strategy, train.worker_timeout)
    data = experiment.read_data(config)
    config = experiment.resolve(config, data)
    workdir = args.workdir or str(Path("runs") / config.name)
    if is_chief:
        experiment.show(config, workdir)
    trainer = experiment.build_trainer(config, workdir, data=data)
    if is_chief:
        experiment.show_derived(config, trainer)
    result = trainer.train()
    return 143 if result.interrupted else 0


def _resolve(args, task):
    if not args.config:
        raise ValueError(
            "Expected --config with a recipe ("
            f"{', '.join(recipes.names(task))}) or a JSON file. "
            "Received: no --config"
        )
    config = recipes.load(args.config)
    changes = list(args.set)
    if args.strategy:
        changes.append(f"train.strategy={args.strategy}")
    config = _settings.override(config, changes)
    if config.task != task:
        raise ValueError(
            f"Expected a config of task {task!r}; use `pixmodels "
            f"{config.task}` for this one. "
            f"Received: --config {args.config}, task={config.task!r}"
        )
    return config


def _list_recipes(args, task):
    if args.config:
        print(inspect.getdoc(recipes.function(args.config)))
        return
    names = recipes.names(task)
    width = max(map(len, names))
    for name in names:
        print(f"{name:{width}}  {recipes.summary(name)}")


def _whole_numbers(flag, text, least=1):
    numbers = text.split(",")
    if not all(n.strip().isdigit() and int(n) >= least for n in numbers):
        raise ValueError(
            "Expected whole numbers with commas between, at least "
            f"{least}. Received: {flag} {text!r}"
        )
    return [int(number) for number in numbers]
