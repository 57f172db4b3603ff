"""The masks that a config asks for, as arguments and sources of `tasks`.

Not here: how masks are drawn (`pixmodels.masking`), which data (`_datasets`).
"""


def mask_settings(model):
    """Arguments of a source of texts: `masking` and `mask_options`."""
    from pixmodels import masking

    model = model.filled()
    options = {"ratio": model.mask_ratio, **model.mask_options}
    if model.masking == "span":
        weights = masking.SPAN_WEIGHTS[: model.max_span]
        spans = [w / weights[-1] for w in weights]
        options = {"span_weights": spans, **options}
    return {"masking": model.masking, "mask_options": options}


def with_masks(source, config):
    """A source of images, with masks where the model does not draw them."""
    from pixmodels import tasks

    model = config.model.filled()
    # Random masks are drawn by the model, on the device.
    random = model.masking == "random" and not model.mask_options
    if config.task != "pretrain" or random:
        return source
    return tasks.MaskedSource(
        source,
        model.masking,
        model.patch_sides(),
        ratio=model.mask_ratio,
        options=model.mask_options,
    )
