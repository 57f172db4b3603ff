"""The text of the demo's report. Numbers in, Markdown out."""

import importlib.metadata
import json
import os
import platform

_PACKAGES = (
    "pixmodels numpy keras tensorflow babel scikit-learn uharfbuzz pycairo"
).split()


def versions():
    """Versions of what the numbers depend on: dict name -> version."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        found[name] = importlib.metadata.version(name)
    import cairo

    found["cairo"] = cairo.cairo_version_string()
    return {**found, "cores": os.cpu_count(), "machine": platform.machine()}


def summary(results):
    """The table that people look for first: str."""
    locales = results["data"]["locales"]
    rows = [(f"language of a name ({locales} locales)", "test accuracy")]
    baselines = results["baselines"]
    rows += [
        (baselines["majority"]["name"], _share(baselines["majority"])),
        (baselines["ngrams"]["name"], _share(baselines["ngrams"])),
        ("PIXEL, not pre-trained", _share(results["from_scratch"]["test"])),
        ("PIXEL, pre-trained", _share(results["finetune"]["test"])),
        ("", ""),
        ("digits, small ViT", _share(results["digits"]["test"])),
    ]
    return "\n".join(f"{name:<42} {value:>14}" for name, value in rows)


def markdown(results):
    """The whole report: str."""
    data, baselines = results["data"], results["baselines"]
    pretrain, exports = results["pretrain"], results["exports"]
    scripts = ", ".join(
        f"{script} ({len(names)})" for script, names in data["scripts"].items()
    )
    changed = results["overrides"]
    lines = [
        "# pixmodels demo",
        "",
        f"Made by `pixmodels demo` in {results['seconds'] / 60:.1f} minutes"
        + (f" with {' '.join(changed)}." if changed else "."),
        "",
        "## Rendering",
        "",
        f"{results['gallery']['sentences']} sentences in "
        f"{results['gallery']['scripts']} scripts:",
        "",
        "![gallery](gallery.png)",
        "",
        "## Pre-training",
        "",
        "A tiny PIXEL reconstructs hidden patches of names of languages, "
        "territories, scripts and currencies in CLDR "
        f"(Babel {data['babel']}): {data['names']:,} names, "
        f"{data['distinct_names']:,} of them distinct, in "
        f"{data['locales']} locales. It reads the {data['unlabelled']:,} "
        "that are in no spelling among the validation and test names below.",
        "",
        f"{pretrain['parameters']:,} parameters, {pretrain['steps']:,} steps, "
        f"{pretrain['seconds']:.0f} s; loss on held-out names "
        f"{pretrain['validation']['loss']:.4f} (1 = the mean of each patch).",
        "",
        "![original, masked and reconstructed names](reconstruction.png)",
        "",
        "Held-out names; hidden patches are grey. As in MAE and PIXEL, a "
        "predicted patch is shown with the mean and deviation of the true one.",
        "",
        "## Which language is this name in?",
        "",
        f"{data['in_one_locale']:,} names occur in one locale only; "
        f"{data['train']:,} are trained on, {data['test']:,} tested, and no "
        "name stands on both sides.",
        "",
        "| model | test accuracy | seconds |",
        "|---|---|---|",
        _row("majority class", baselines["majority"], 0),
        _row(
            "character 1-3-grams, logistic regression",
            baselines["ngrams"],
            baselines["ngrams"]["fit_seconds"],
        ),
        _row(
            "tiny PIXEL, not pre-trained",
            results["from_scratch"]["test"],
            results["from_scratch"]["seconds"],
        ),
        _row(
            "tiny PIXEL, pre-trained",
            results["finetune"]["test"],
            results["finetune"]["seconds"],
        ),
        "",
        f"Locales by script: {scripts}.",
        "",
        "## Digits",
        "",
        f"A ViT of {results['digits']['parameters']:,} parameters on "
        "scikit-learn's 8 x 8 digits: test accuracy "
        f"{_share(results['digits']['test'])} in "
        f"{results['digits']['seconds']:.0f} s.",
        "",
        "## Export",
        "",
        "Each model was exported as a SavedModel and loaded in a new process "
        "in which only tensorflow is imported:",
        "",
        "| model | SavedModel | largest difference |",
        "|---|---|---|",
        *(
            f"| {name} | `{e['path']}` | {e['largest_difference']:.2g} |"
            for name, e in exports.items()
        ),
        "",
        "## Versions",
        "",
        ", ".join(f"{k} {v}" for k, v in results["versions"].items()),
        "",
        "## Configs",
        "",
    ]
    for name, config in results["configs"].items():
        text = json.dumps(config, ensure_ascii=False)
        lines += [f"{name}:", "", "```json", text, "```", ""]
    return "\n".join(lines)


def _share(metrics):
    return f"{100 * metrics['accuracy']:.2f} %"


def _row(name, metrics, seconds):
    return f"| {name} | {_share(metrics)} | {seconds:.0f} |"
