"""The main job in small, `pixmodels demo`: from text to a served model.

Renders, pre-trains, fine-tunes, compares with baselines, trains a ViT,
exports, checks the exports in a new process and writes a report. Each part is
done by the room that it belongs to; the report's text is in `_report`.
"""

import dataclasses
import json
import shutil
import time
from pathlib import Path

import numpy as np

from pixmodels.training import _pictures
from pixmodels.training import _quiet
from pixmodels.training import _report
from pixmodels.training import _settings
from pixmodels.training import experiment
from pixmodels.training import recipes

RUNS = {
    "pretrain": "pixel_tiny_cldr",
    "finetune": "cldr_language",
    "from_scratch": "cldr_language",
    "digits": "digits_vit",
}
# Languages of the names in reconstruction.png.
_SHOWN = (
    "en",
    "fr",
    "vi",
    "ru",
    "el",
    "he",
    "ar",
    "hi",
    "ta",
    "th",
    "ko",
    "ja",
)


def run(workdir="runs/demo", overrides=()):
    """Runs the demo.

    An interrupted demo goes on where it was; one that has its report starts
    anew. The same seed gives the same numbers on the same machine.

    Args:
        workdir: folder of the results, made if missing.
        overrides: `KEY.PATH=VALUE` settings of all four runs, such as
            `train.steps=20` for a quick look.

    Returns:
        dict, the numbers of the report (also in `report.json`).

    Raises:
        ValueError: for a setting that is unknown or out of range.
    """
    begin = time.perf_counter()
    configs = {
        name: _settings.override(recipes.get(recipe), overrides)
        for name, recipe in RUNS.items()
    }
    workdir = Path(workdir)
    _begin(workdir)
    configs["finetune"] = dataclasses.replace(
        configs["finetune"], init=str(workdir / "pretrain")
    )
    results = {"overrides": list(overrides)}
    _say("1/6 draws one sentence in many scripts")
    results["gallery"] = _gallery(workdir)
    _quiet.load_tensorflow()
    data = experiment.read_data(configs["pretrain"])
    results["data"] = data.names.report()
    _say("2/6 pre-trains a tiny PIXEL on names from CLDR")
    sources = experiment.build_sources(configs["pretrain"], data=data)
    trainer, results["pretrain"] = _train(
        configs["pretrain"], workdir / "pretrain", data, sources
    )
    _reconstruct(trainer.model, configs["pretrain"], data.names, workdir)
    _say("3/6 fine-tunes it to tell the language of a name")
    data = experiment.read_data(configs["finetune"])
    sources = experiment.build_sources(
        configs["finetune"], ("train", "validation", "test"), data
    )
    exported = {}
    for name in ("finetune", "from_scratch"):
        trainer, results[name] = _train(
            configs[name], workdir / name, data, sources
        )
        exported.setdefault("text", (trainer.model, _text_inputs(sources)))
    _say("4/6 fits the baselines on the same names")
    results["baselines"] = _baselines(data.names)
    _say("5/6 trains a small ViT on scikit-learn's digits")
    data = experiment.read_data(configs["digits"])
    sources = experiment.build_sources(
        configs["digits"], ("train", "validation", "test"), data
    )
    trainer, results["digits"] = _train(
        configs["digits"], workdir / "digits", data, sources
    )
    images = sources["test"].get_batch(np.arange(7))["pixels"]
    exported["digits"] = (trainer.model, {"images": images})
    _say("6/6 exports both and loads them in new processes")
    renderer = experiment.build_renderer(configs["finetune"])
    results["exports"] = {
        name: _export(model, inputs, workdir / "saved_models" / name, renderer)
        for name, (model, inputs) in exported.items()
    }
    results["seconds"] = time.perf_counter() - begin
    results["configs"] = {
        name: _settings.to_dict(config) for name, config in configs.items()
    }
    _write(workdir, results)
    return results


def _begin(workdir):
    if (workdir / "report.md").is_file():
        _say(f"{workdir} holds a finished demo: starts anew")
        for name in (*RUNS, "saved_models"):
            shutil.rmtree(workdir / name, ignore_errors=True)
        (workdir / "report.md").unlink()
    workdir.mkdir(parents=True, exist_ok=True)


def _gallery(workdir):
    from pixmodels.renderers import CairoRenderer
    from pixmodels.renderers import gallery
    from pixmodels.renderers import samples

    renderer = CairoRenderer()
    gallery(samples.labelled(), renderer).save(workdir / "gallery.png")
    scripts = {sample.script for sample in samples.SAMPLES}
    return {"sentences": len(samples.SAMPLES), "scripts": len(scripts)}


def _train(config, workdir, data, sources):
    """Trains one run; returns its trainer and its numbers."""
    begin = time.perf_counter()
    config = experiment.resolve(config, data)
    trainer = experiment.build_trainer(
        config, workdir, sources=sources, data=data
    )
    experiment.show_derived(config, trainer)
    result = trainer.train()
    if result.interrupted:
        raise SystemExit(143)
    numbers = {
        "steps": result.step,
        "parameters": trainer.model.count_params(),
        "training": result.metrics,
        "validation": result.evaluation,
        "seconds": time.perf_counter() - begin,
    }
    if "test" in sources:
        numbers["test"] = trainer.evaluate(sources["test"])
    return trainer, numbers


def _reconstruct(model, config, names, workdir):
    """Draws held-out names, hides a part and lets the model fill it in."""
    from pixmodels import masking

    examples = dict.fromkeys(_SHOWN)
    for text, locale in names.examples("test"):
        # Long enough to lose some patches and still be read.
        if examples.get(locale, text) is None and len(text) > 12:
            examples[locale] = text
    shown = {k: v for k, v in examples.items() if v is not None}
    renderer = experiment.build_renderer(config)
    batch = renderer(list(shown.values()))
    length = batch.pixels.shape[2] // batch.patch_size
    masks = [
        masking.span_mask(
            length,
            int(count),
            ratio=config.model.mask_ratio,
            rng=masking.example_rng(config.train.seed, 0, i),
        )
        for i, count in enumerate(batch.num_patches)
    ]
    pictures = model.reconstruct(
        {
            "pixels": batch.pixels,
            "num_patches": batch.num_patches,
            "patch_mask": np.stack(masks).astype(np.uint8),
        }
    )
    page = _pictures.reconstructions(pictures, list(shown), renderer)
    page.save(workdir / "reconstruction.png")


def _baselines(names):
    from pixmodels import tasks

    train, test = names.label_ids("train"), names.label_ids("test")
    majority = tasks.majority_class(train, test)
    ngrams = tasks.ngram_logistic_regression(
        names.texts("train"), train, names.texts("test"), test
    )
    return {"majority": majority.summary(), "ngrams": ngrams.summary()}


def _text_inputs(sources):
    batch = sources["test"].get_batch(np.arange(7))
    return {name: batch[name] for name in ("pixels", "num_patches")}


def _export(model, inputs, path, renderer):
    """Exports a model; returns how far a new process' outputs are off."""
    import keras

    from pixmodels import saved_models

    text = "num_patches" in inputs
    saved_models.export(
        model, path, renderer=renderer if text else None, overwrite=True
    )
    logits = model(inputs if text else inputs["images"], training=False)
    expected = {
        "logits": keras.ops.convert_to_numpy(logits),
        "probabilities": keras.ops.convert_to_numpy(keras.ops.softmax(logits)),
    }
    difference = saved_models.check_in_new_process(path, inputs, expected)
    # The graph optimizer reorders float32 sums; more is another model.
    allowed = 1e-5 * max(1.0, float(np.abs(expected["logits"]).max()))
    if difference > allowed:
        raise RuntimeError(
            f"Expected equal outputs in a new process, within {allowed:.2g}. "
            f"Received: {path} is off by {difference:.2g}"
        )
    _say(f"{path}: largest difference in a new process {difference:.2g}")
    return {"path": str(path), "largest_difference": difference}


def _write(workdir, results):
    results["versions"] = _report.versions()
    text = json.dumps(results, indent=1, ensure_ascii=False, default=float)
    (workdir / "report.json").write_text(text + "\n", encoding="utf-8")
    report = _report.markdown(results)
    part = workdir / "report.md.part"
    part.write_text(report, encoding="utf-8")
    part.rename(workdir / "report.md")
    print("\n" + _report.summary(results))
    _say(f"wrote {workdir / 'report.md'}")


def _say(text):
    print(text, flush=True)
