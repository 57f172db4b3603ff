"""From a config to the things it names: renderer, sources, model, trainer.

The glue between the rooms; a command or a demo calls these. Not here: the
table of data sets (`_datasets`), the loop (`trainer`).
"""

import dataclasses
import math
import sys
import time
import warnings
from pathlib import Path

from pixmodels.training import _build_model
from pixmodels.training import _datasets
from pixmodels.training import _initial_weights
from pixmodels.training import _settings
from pixmodels.training import drivers
from pixmodels.training import variables as variables_lib
from pixmodels.training import workdir as workdir_lib
from pixmodels.training._model_config import LABELLED
from pixmodels.training.checkpoint import CheckpointStore
from pixmodels.training.config import ExperimentConfig
from pixmodels.training.pipeline import Pipeline
from pixmodels.training.precision import dtype_policy


def build_renderer(config):
    """The `CairoRenderer` of a config."""
    from pixmodels.renderers import CairoRenderer

    settings = _settings.to_dict(config.renderer)
    fonts = settings.pop("fonts")
    return CairoRenderer(list(fonts) or None, **settings)


def read_data(config):
    """The data set of a config; nothing is drawn yet.

    Raises:
        ValueError: if the name or an option is unknown, or the data does not
            go with `model.kind`.
    """
    return _datasets.read(config)


def resolve(config, data=None):
    """Fills in what follows from the data: image shape, number of classes.

    Args:
        config: `ExperimentConfig`.
        data: the data set, if it is read already.

    Returns:
        An `ExperimentConfig` from which `build_model` works without the data.
    """
    like = None
    if config.init is not None:
        _initial_weights.check_settings(config.model, config.init)
        like = _initial_weights.architecture(config.init)
    model = config.model.filled(like)
    config = dataclasses.replace(config, model=model)
    head = model.kind in LABELLED
    if not model.image_shape or (head and not model.labels):
        data = data or _datasets.read(config)
        changes = {"image_shape": model.image_shape or data.image_shape(config)}
        if head and not model.labels:
            classes = len(data.labels)
            if model.num_classes not in (None, classes):
                raise ValueError(
                    f"Expected model.num_classes={classes}, as the data has. "
                    f"Received: model.num_classes={model.num_classes}"
                )
            changes |= {"labels": data.labels, "num_classes": classes}
        model = dataclasses.replace(model, **changes)
    return dataclasses.replace(config, model=model)


def build_sources(config, splits=("train", "validation"), data=None):
    """The sources of a config; texts are drawn now.

    Args:
        config: `ExperimentConfig`.
        splits: names of splits; `validation` falls back to `test` where the
            data has no such split.
        data: the data set, if it is read already.

    Returns:
        dict from the names in `splits` to sources, see `Pipeline`.

    Raises:
        ValueError: if the data set, an option or a split is unknown.
    """
    from pixmodels.tasks import RenderedTextSource

    data = data or _datasets.read(config)
    text = config.model.reads_text
    renderer = build_renderer(config) if text else None
    sources = {}
    for split in splits:
        actual = _actual_split(data, split)
        begin = time.perf_counter()
        sources[split] = data.source(config, actual, renderer)
        if text:
            seconds, count = time.perf_counter() - begin, len(sources[split])
            kept = isinstance(sources[split], RenderedTextSource)
            words = "drew" if kept else "opened"
            _say(f"{split}: {words} {count:,} texts in {seconds:.1f} s")
            _say_losses(split, sources[split], config)
    return sources


def _actual_split(data, split):
    if split == "validation" and split not in data.splits:
        split = "test"
    _datasets.check_split(data, split)
    return split


def scores_of(config, data, split):
    """What answers on a split are worth, where the data has such scores.

    Args:
        config: `ExperimentConfig`, resolved.
        data: its data set, or None.
        split: as `build_sources`.

    Returns:
        function of the model that returns a dict of floats, whose keys are
        its attribute `names`; or None.
    """
    if not hasattr(data, "scores"):
        return None
    renderer = build_renderer(config)
    split = _actual_split(data, split)

    def scores(model):
        with warnings.catch_warnings():
            # The source of the split has said so when it was made.
            warnings.filterwarnings("ignore", "Texts .* were cut", UserWarning)
            return data.scores(config, split, renderer, model)

    scores.names = data.score_names
    return scores


def build_model(config):
    """The model of a resolved config, under its dtype policy.

    See `resolve`; the weights are fresh.

    Raises:
        ValueError: if the config is not resolved, or names an attention
            mechanism that does not exist.
    """
    if not config.model.image_shape:
        raise ValueError(
            "Expected a config that `resolve` has filled in. "
            f"Received: model.image_shape={config.model.image_shape}"
        )
    with dtype_policy(config.train.dtype):
        return _build_model.build_model(config.model)


def build_trainer(config, workdir, *, data=None, sources=None, progress=None):
    """The `Trainer` of a config.

    Args:
        config: `ExperimentConfig`; it is resolved here.
        workdir: folder of the run.
        data: the data set, if it is read already.
        sources: dict with `train` and `validation`, if they exist already.
        progress: display, see `Trainer`.

    Returns:
        A `Trainer`, restored from the workdir's latest checkpoint if any.
    """
    from pixmodels.training.trainer import Trainer

    # Logical devices must be made before anything starts the framework.
    drivers.prepare(config.train.strategy, config.train.worker_timeout)
    if data is None and sources is None:
        data = _datasets.read(config)
    config = resolve(config, data)
    # Refuse before the texts are drawn, which takes long.
    workdir_lib.check(workdir, _settings.to_dict(config))
    sources = sources or build_sources(config, data=data)
    scores = scores_of(config, data, "validation")

    def prepare(model):
        if config.init is not None:
            _say(_initial_weights.load_encoder(model, config.init))

    return Trainer(
        lambda: build_model(config),
        sources["train"],
        config.train,
        workdir,
        eval_source=sources["validation"],
        buckets=config.data.buckets,
        pack=config.data.pack,
        workers=config.data.workers,
        run_config=_settings.to_dict(config),
        prepare=prepare,
        progress=progress,
        scores=scores,
    )


@dataclasses.dataclass(frozen=True)
class Run:
    """A trained run, read from its workdir.

    Attributes:
        config: the resolved `ExperimentConfig`.
        model: the model with the weights of the checkpoint.
        step: updates done.
        workdir: its folder.
    """

    config: ExperimentConfig
    model: object
    step: int
    workdir: str

    def evaluate(self, split="test"):
        """Metrics of the model over a split: dict from name to float.

        Scores of whole answers (F1 of names, trees, ...) take the place of
        sums of the step that have the same name.
        """
        from pixmodels.training import evaluator

        data = _datasets.read(self.config)
        source = build_sources(self.config, (split,), data)[split]
        # One device: the model is already there, outside any strategy.
        config = dataclasses.replace(self.config.train, strategy="one_device")
        pipeline = Pipeline(
            source,
            config.batch_size,
            config.seed,
            self.config.data.buckets,
            pack=self.config.data.pack,
        )
        driver = drivers.make(self.model, config, pipeline.batch(0))
        metrics = evaluator.evaluate(driver, pipeline)
        scores = scores_of(self.config, data, split)
        return metrics | (scores(self.model) if scores else {})


def load_run(workdir, checkpoint="latest", averaged=None):
    """Reads a run's config and the weights of a checkpoint.

    Args:
        workdir: folder of the run.
        checkpoint: `latest`, `best` (by `train.best_metric`) or a step, see
            `CheckpointStore.restore`.
        averaged: True takes the averages of `train.ema` as weights; None does
            so with `train.eval_ema`, as the run's own evaluations.

    Returns:
        A `Run`.

    Raises:
        FileNotFoundError: if there is no config or no checkpoint.
        ValueError: if there is no such checkpoint, it does not fit the
            config's model, or it holds no averages.
    """
    _check_run(workdir)
    values = _settings.load_json(Path(workdir) / "config.json")
    config = _settings.from_dict(ExperimentConfig, values)
    store = CheckpointStore(
        workdir, metric=config.train.best_metric, mode=config.train.best_mode
    )
    found = store.restore(checkpoint)
    if found is None:
        raise FileNotFoundError(
            "Expected a run with a checkpoint. "
            f"Received: workdir={str(workdir)!r}, which has none"
        )
    model = build_model(config)
    arrays = _below("model/", found.arrays)
    if config.train.eval_ema if averaged is None else averaged:
        averages = _below("ema/", found.arrays)
        if not averages:
            raise ValueError(
                "Expected a run with averages of its weights (train.ema). "
                f"Received: workdir={str(workdir)!r}, train.ema="
                f"{config.train.ema}"
            )
        arrays |= averages
    variables_lib.assign_all(
        model.variables,
        variables_lib.variable_keys(model.variables, model.name),
        arrays,
        f"checkpoint {found.path}",
    )
    return Run(config, model, found.step, str(workdir))


def _below(prefix, arrays):
    return {
        key.removeprefix(prefix): array
        for key, array in arrays.items()
        if key.startswith(prefix)
    }


def show(config, workdir):
    """Prints a config, one setting a line."""
    print(f"workdir = {workdir}")
    _show_section(_settings.to_dict(config), "")


def show_derived(config, trainer):
    """Prints the numbers that follow from a config and its data."""
    pipeline = trainer.pipeline
    train = config.train
    weights = trainer.model.count_params()
    learned = sum(math.prod(v.shape) for v in trainer.model.trainable_weights)
    lengths = [n for n in pipeline.bucket_lengths if n is not None]
    share = train.batch_size // trainer.driver.num_replicas
    lines = [
        f"parameters: {weights:,}, of which {learned:,} are trained",
        f"global batch: {train.batch_size} ({trainer.driver.num_replicas} "
        f"replica(s) of {share})",
        f"examples: {len(pipeline.source):,}, "
        f"{pipeline.batches_per_epoch:,} batches an epoch",
        f"steps: {train.steps:,}, "
        f"{train.steps / pipeline.batches_per_epoch:.2f} epochs",
    ]
    if lengths:
        low, high = (
            train.batch_size * lengths[0],
            train.batch_size * lengths[-1],
        )
        lines.append(f"patches a step: {low:,} to {high:,}")
        lines.append(f"padding: {1 - pipeline.fill:.1%}")
    print("\n".join(lines), flush=True)


def _show_section(values, path):
    for key, value in values.items():
        if isinstance(value, dict) and value and not path.endswith("options"):
            _show_section(value, f"{path}{key}.")
        else:
            print(f"{path}{key} = {value!r}")


def _check_run(workdir):
    if not (Path(workdir) / "config.json").is_file():
        raise FileNotFoundError(
            "Expected the workdir of a run. "
            f"Received: workdir={str(workdir)!r}, which has no config.json"
        )


def _say(text):
    print(text, file=sys.stderr, flush=True)


def _say_losses(split, source, config):
    """Names what a source lost, if anything: nothing is lost silently."""
    buckets = config.data.buckets
    report = source.report(max_length=buckets[-1] if buckets else None)
    for key, words in (
        ("cut_by_renderer", "longer than renderer.max_patches are cut"),
        ("longer_than_max_length", "longer than the largest bucket are cut"),
        ("texts_with_missing_glyphs", "with characters that no font has"),
    ):
        if report.get(key):
            _say(f"{split}: {report[key]:,} texts {words}")
