"""Training: strategy, input pipeline, step loop, checkpoints, command line.

Here too: configs, schedules, recipes and benchmarks. TensorFlow is imported
when a TensorFlow driver is asked for, not before. Not here: layers
(`pixmodels`), data sets and heads (`pixmodels.tasks`), SavedModels
(`pixmodels.saved_models`)."""

import importlib

# Name -> the module of this package that holds it; loaded when first used.
_EXPORTS = {
    "CheckpointStore": "checkpoint",
    "DataConfig": "config",
    "EpochPlan": "pipeline",
    "ExperimentConfig": "config",
    "ModelConfig": "config",
    "Pipeline": "pipeline",
    "Prefetcher": "prefetcher",
    "RendererConfig": "config",
    "Saver": "saver",
    "TrainConfig": "config",
    "Trainer": "trainer",
    "TrainResult": "trainer",
    "WorkerPool": "worker_pool",
    "text_lengths": "length_index",
}

__all__ = sorted(_EXPORTS)


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_EXPORTS[name]}")
    return getattr(module, name)


def __dir__():
    return sorted({*globals(), *__all__})
