"""One training step in a process of its own, run when the parent says so.

Here: how ours and the peer's step are made; the protocol on stdin and stdout:
a line "SECONDS STEPS", the least of both, is answered by a line of JSON. Not
here: whom to compare with whom (_step_benchmark.py, _long_pages.py)."""

import json
import os
import resource
import sys
import time

import numpy as np

# Layers, heads, width and MLP width of encoder, then of decoder.
SIZES = {
    "base": (12, 12, 768, 3072, 8, 16, 512, 2048),
    "small": (12, 6, 384, 1536, 4, 8, 256, 1024),
    "page": (4, 4, 128, 512, 2, 4, 128, 512),
    "tiny": (2, 2, 32, 64, 1, 2, 16, 32),
}
MASK_RATIO = 0.25
CLASSES = 3
_SIDE = 16  # Pixels of a patch.


def main():
    """Reads a candidate from argv, answers until stdin ends."""
    spec = json.loads(sys.argv[1])
    # What libraries print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    step = _engine(spec["engine"])(spec)
    loss = step()  # Compiles.
    _answer(answers, losses=[loss])
    for line in sys.stdin:
        limit, steps = map(float, line.split())
        losses, begin = [], time.perf_counter()
        while len(losses) < steps or time.perf_counter() - begin < limit:
            losses.append(step())
        seconds = (time.perf_counter() - begin) / len(losses)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _answer(answers, seconds=seconds, peak=peak * 1024, losses=losses)


def _answer(answers, **values):
    print(json.dumps(values), file=answers, flush=True)


def _pixels(spec, shape):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (spec["batch"], *shape), dtype=np.uint8)


def _ours(spec):
    """A step of our trainer's driver, as a function that gives the loss."""
    load_tensorflow(spec["threads"])
    from pixmodels.training.config import TrainConfig
    from pixmodels.training.tensorflow_driver import TensorFlowDriver

    length, count = spec["patches"], spec["batch"]
    pixels = _pixels(spec, (_SIDE, _SIDE * length))
    attended = spec.get("attended", length)
    batch = {
        "pixels": pixels,
        "num_patches": np.full(count, attended - 1, np.int32),
        "weight": np.ones(count, np.float32),
        "example_id": np.arange(count, dtype=np.int32),
    }
    if spec["task"] == "classify":
        batch["label"] = np.arange(count, dtype=np.int32) % CLASSES
    config = TrainConfig(batch_size=count, jit_compile=spec["jit_compile"])
    driver = TensorFlowDriver(lambda: _our_model(spec), config, batch)
    return _stepper(driver, lambda number: batch)


def _stepper(driver, batch_of):
    numbers = iter(range(1 << 30))

    def step():
        number = next(numbers)
        done = driver.fetch(driver.train_step(batch_of(number), number))
        return done["loss"][0] / done["loss"][1]

    return step


def _pages(spec):
    """Masked pre-training on pages of a file, one after the other."""
    load_tensorflow(spec["threads"])
    from pixmodels.training.config import TrainConfig
    from pixmodels.training.tensorflow_driver import TensorFlowDriver

    pages = np.load(spec["pages"], mmap_mode="r")
    patches = np.load(spec["num_patches"])
    count = spec["batch"]

    def batch_of(number):
        ids = (np.arange(count) + number * count) % len(pages)
        return {
            "pixels": np.ascontiguousarray(pages[ids]),
            "num_patches": patches[ids],
            "weight": np.ones(count, np.float32),
            # Another mask each time that a page comes again.
            "example_id": ids.astype(np.int32),
        }

    config = TrainConfig(
        batch_size=count,
        steps=spec["steps"],
        warmup_steps=spec["steps"] // 10,
        learning_rate=spec["learning_rate"],
        seed=spec["seed"],
    )
    driver = TensorFlowDriver(
        lambda: _page_model(spec, pages.shape[1:]), config, batch_of(0)
    )
    return _stepper(driver, batch_of)


def _page_model(spec, shape):
    import pixmodels

    layers, heads, width, mlp, *decoder = SIZES[spec["size"]]
    encoder = pixmodels.ViTBackbone(
        (*shape, 1),
        _SIDE,
        num_layers=layers,
        num_heads=heads,
        hidden_dim=width,
        mlp_dim=mlp,
        positions="sincos",
        pixel_offset=1.0,
        attention=spec["attention"],
        attention_options=spec["options"],
    )
    return _autoencoder(encoder, decoder)


def _autoencoder(encoder, decoder):
    import pixmodels

    return pixmodels.MaskedAutoencoder(
        encoder,
        decoder_num_layers=decoder[0],
        decoder_num_heads=decoder[1],
        decoder_hidden_dim=decoder[2],
        decoder_mlp_dim=decoder[3],
        mask_ratio=MASK_RATIO,
    )


def load_tensorflow(threads):
    os.environ["KERAS_BACKEND"] = "tensorflow"
    from pixmodels.training import _quiet

    _quiet.load_tensorflow()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


def _our_model(spec):
    import pixmodels
    from pixmodels.tasks import TextClassifier

    layers, heads, width, mlp, *decoder = SIZES[spec["size"]]
    encoder = pixmodels.PIXELBackbone(
        (_SIDE, _SIDE * spec["table"], 3),
        _SIDE,
        num_layers=layers,
        num_heads=heads,
        hidden_dim=width,
        mlp_dim=mlp,
    )
    if spec["task"] == "classify":
        return TextClassifier(encoder, CLASSES, dropout_rate=0.0)
    return _autoencoder(encoder, decoder)


def _peer(spec):
    """torch with transformers' ViTMAE or ViT, and torch's AdamW."""
    import torch
    import transformers

    torch.set_num_threads(spec["threads"])
    torch.manual_seed(0)
    # transformers' ViTMAE takes square images: as many patches in a square.
    side = _SIDE * round(spec["patches"] ** 0.5)
    pixels = _pixels(spec, (side, side))
    pixels = np.repeat(pixels[:, None], 3, axis=1).astype(np.float32) / 255
    inputs = {"pixel_values": torch.from_numpy(pixels)}
    layers, heads, width, mlp, *decoder = SIZES[spec["size"]]
    options = {
        "image_size": side,
        "patch_size": _SIDE,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "hidden_size": width,
        "intermediate_size": mlp,
    }
    if spec["task"] == "classify":
        config = transformers.ViTConfig(**options, num_labels=CLASSES)
        model = transformers.ViTForImageClassification(config)
        inputs["labels"] = torch.arange(spec["batch"]) % CLASSES
    else:
        config = transformers.ViTMAEConfig(
            **options,
            decoder_num_hidden_layers=decoder[0],
            decoder_num_attention_heads=decoder[1],
            decoder_hidden_size=decoder[2],
            decoder_intermediate_size=decoder[3],
            mask_ratio=MASK_RATIO,
            norm_pix_loss=True,
        )
        model = transformers.ViTMAEForPreTraining(config)
    model.train()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-4, fused=spec["fused"] or None
    )

    def step():
        optimizer.zero_grad()
        loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


_ENGINES = {"pixmodels": _ours, "pages": _pages, "transformers": _peer}


def _engine(name):
    if name in _ENGINES:
        return _ENGINES[name]
    from pixmodels.training import _mixer_engines

    return _mixer_engines.ENGINES[name]


if __name__ == "__main__":
    main()
