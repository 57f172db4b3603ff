"""What every registered mixer, backbone and task must hold.

`cases()` builds one case for each entry of the registries; the `check_*`
functions take a case. A new class is checked by being registered.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

import pixmodels
import pixmodels.tasks
from pixmodels import _registry

BATCH = 3
LENGTH = 11
HEADS = 3
PATCH = 5
WIDTH = 12  # the least that both three heads and sin-cos positions divide


@dataclasses.dataclass(frozen=True)
class Case:
    """A small instance of a registered class and how to run it.

    Attributes:
        name: shown by pytest.
        make: dtype policy name -> fresh instance, always the same weights.
        inputs: seed -> dict of arrays.
        run: (instance, inputs, training) -> tensor or dict of tensors.
        repad: (inputs, seed) -> inputs that differ in padding only.
        real: (inputs, outputs) -> the outputs that padding must not change.
        loss: (instance, inputs) -> scalar.
    """

    name: str
    make: Callable
    inputs: Callable
    run: Callable
    repad: Callable
    real: Callable
    loss: Callable


def cases():
    """All cases, mixers first."""
    found = []
    for name in _registry.MIXERS.names():
        found.append(mixer_case(name))
        if _registry.MIXERS.get(name).causal:
            found.append(mixer_case(name, causal=True))
        if name == "softmax":
            found.append(mixer_case(name, chunk=5))
    for name in _registry.BACKBONES.names():
        found.append(_backbone_case(name))
        found += [_task_case(task, name) for task in _registry.TASKS.names()]
    found += [
        _task_case("masked_autoencoder", "pixel", mixer)
        for mixer in _registry.MIXERS.names()
        if mixer != "softmax"
    ]
    return found


# --- Building cases ---------------------------------------------------------


def _seeded(build):
    keras.utils.set_random_seed(7)
    instance = build()
    rng = np.random.default_rng(5)
    # Every tensor away from its initial zero or one, so that a bias or a gain
    # that is never used shows.
    for weight in instance.trainable_weights:
        noise = rng.normal(size=weight.shape) * 0.1
        weight.assign(ops.convert_to_numpy(weight) + noise)
    return instance


def mixer_case(name, **options):
    """The case of a mixer with its small options and further ones."""
    cls = _registry.MIXERS.get(name)

    def make(dtype="float32"):
        def build():
            layer = cls(HEADS, dtype=dtype, **{**cls.small_options, **options})
            layer.build((None, LENGTH, WIDTH))
            return layer

        return _seeded(build)

    def inputs(seed=3):
        rng = np.random.default_rng(seed)
        mask = np.ones((BATCH, LENGTH), bool)
        mask[1, 7:] = False
        mask[2, 5:] = False
        x = rng.normal(size=(BATCH, LENGTH, WIDTH)).astype("float32")
        return {"x": x, "mask": mask}

    def run(layer, inputs, training=False):
        return layer(
            inputs["x"], mask=inputs["mask"], prefix=1, training=training
        )

    def repad(inputs, seed):
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=inputs["x"].shape).astype("float32")
        x = np.where(inputs["mask"][..., None], inputs["x"], 9 * noise)
        return {**inputs, "x": x}

    def real(inputs, outputs):
        return ops.convert_to_numpy(outputs)[inputs["mask"]]

    def loss(layer, inputs):
        target = np.linspace(-1, 1, WIDTH, dtype="float32")
        outputs = ops.cast(run(layer, inputs), "float32")
        return ops.sum(ops.square(ops.subtract(outputs, target)))

    label = "-".join(
        value if isinstance(value, str) else key
        for key, value in options.items()
    )
    return Case(
        f"{name}-{label or 'full'}", make, inputs, run, repad, real, loss
    )


def _backbone(name, dtype, attention="softmax", **more):
    options = _registry.MIXERS.get(attention).small_options
    return _registry.BACKBONES.get(name)(
        (PATCH, PATCH * LENGTH, 3),
        PATCH,
        num_layers=2,
        num_heads=HEADS,
        hidden_dim=WIDTH,
        mlp_dim=13,
        attention=attention,
        attention_options=options,
        dtype=dtype,
        **more,
    )


def _backbone_case(name, **options):
    def make(dtype="float32"):
        return _seeded(lambda: _backbone(name, dtype, **options))

    def inputs(seed=3):
        rng = np.random.default_rng(seed)
        shape = (BATCH, PATCH, PATCH * LENGTH, 3)
        mask = np.arange(LENGTH) < np.array([[11], [7], [5]])
        return {"x": rng.random(shape).astype("float32"), "mask": mask}

    def run(model, inputs, training=False):
        return model(inputs["x"], mask=inputs["mask"], training=training)

    def repad(inputs, seed):
        rng = np.random.default_rng(seed)
        columns = np.repeat(inputs["mask"], PATCH, axis=1)[:, None, :, None]
        noise = rng.random(inputs["x"].shape).astype("float32")
        return {**inputs, "x": np.where(columns, inputs["x"], noise)}

    def real(inputs, outputs):
        return ops.convert_to_numpy(outputs)[:, -LENGTH:][inputs["mask"]]

    def loss(model, inputs):
        outputs = ops.cast(run(model, inputs), "float32")
        target = np.linspace(-1, 1, WIDTH, dtype="float32")
        return ops.sum(ops.square(ops.subtract(outputs, target)))

    return Case(name, make, inputs, run, repad, real, loss)


def _task_case(task, backbone, attention="softmax"):
    cls = _registry.TASKS.get(task)

    def make(dtype="float32"):
        def build():
            options = dict(cls.small_options)
            if "num_classes" in inspect.signature(cls).parameters:
                options["num_classes"] = 5
            model = _backbone(backbone, dtype, attention)
            return cls(model, dtype=dtype, **options)

        return _seeded(build)

    @functools.cache
    def spec():
        return make().batch_spec(BATCH)

    def inputs(seed=3):
        rng = np.random.default_rng(seed)
        batch = {}
        for key, (shape, dtype) in spec().items():
            if key == "num_patches":
                value = [10, 6, 4]  # without the end patch
            elif key == "weight":
                value = np.ones(shape)
            elif key == "example_id":
                value = 17 + 2 * np.arange(BATCH)
            elif key in ("label", "relation"):
                value = rng.integers(0, 5, shape)
            elif key == "word_starts":  # as many patches as `num_patches`
                value = np.full(shape, -1)
                value[0, :5], value[1, :4] = [0, 2, 3, 7, 10], [0, 1, 4, 6]
                value[2, :2] = [0, 4]
            elif key == "head":
                value = np.full(shape, -100)
                value[0, :4], value[1, :3] = [2, 0, 2, 3], [3, 3, 0]
                value[2, 0] = 0
            elif key in ("start", "end"):
                value = [2, -1, 3] if key == "start" else [5, -1, 4]
            else:
                value = rng.integers(0, 256, shape)
            batch[key] = np.asarray(value, dtype)
        return batch

    def run(model, inputs, training=False):
        key = np.array([3, 5], "int32")
        with pixmodels.random.key_scope(key, inputs["example_id"]):
            return model(inputs, training=training)

    def repad(inputs, seed):
        if "num_patches" not in inputs:
            return inputs
        rng = np.random.default_rng(seed)
        real = np.arange(LENGTH) <= inputs["num_patches"][:, None]
        columns = np.repeat(real, PATCH, axis=1)[:, None, :]
        noise = rng.integers(0, 256, inputs["pixels"].shape)
        pixels = np.where(columns, inputs["pixels"], noise).astype("uint8")
        return {**inputs, "pixels": pixels}

    def real(inputs, outputs):
        if isinstance(outputs, dict):
            arrays = arrays_of(outputs)
            if "logits" not in arrays:  # padding is masked in all of them
                return np.concatenate([a.ravel() for a in arrays.values()])
            outputs = arrays["logits"]
        outputs = ops.convert_to_numpy(outputs)
        if outputs.ndim == 3:
            real = np.arange(LENGTH) <= inputs["num_patches"][:, None]
            return outputs[real]
        return outputs

    def loss(model, inputs):
        key = ops.convert_to_tensor([3, 5], "int32")
        numerators, counts = model.loss_sums(inputs, key)
        return numerators["loss"] / counts["loss"]

    name = f"{task}-{backbone}-{attention}"
    return Case(name, make, inputs, run, repad, real, loss)


# --- Checks -----------------------------------------------------------------


@functools.lru_cache(maxsize=1)
def _made(case):
    """An instance, inputs and outputs, for checks that change none of them."""
    instance, inputs = case.make(), case.inputs()
    return instance, inputs, case.run(instance, inputs)


def check_config(case):
    """A class, and every layer of ours inside, is remade by its config."""
    instance, _, _ = _made(case)
    for layer in [instance, *_sublayers(instance)]:
        config = layer.get_config()
        again = type(layer).from_config(config).get_config()
        assert again == config, type(layer).__name__


def check_compiled(case):
    """Eager and graph agree to the bit, XLA to 1e-5 relative."""
    instance, inputs, outputs = _made(case)
    eager = _arrays(outputs)
    run = traced(lambda x: case.run(instance, x))
    graph = compiled(run, False)
    if graph is not None:
        for a, b in zip(eager, _arrays(graph(inputs)), strict=True):
            np.testing.assert_array_equal(a, b)
    xla = compiled(run, True)
    if xla is not None:
        for a, b in zip(eager, _arrays(xla(inputs)), strict=True):
            scale = max(1.0, np.abs(a).max())
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * scale)


def check_symbolic(case):
    """Shapes and dtypes are known without computing."""
    instance, inputs, outputs = _made(case)
    symbols = {
        key: keras.KerasTensor(value.shape, value.dtype.name)
        for key, value in inputs.items()
    }
    outputs = keras.tree.flatten(outputs)

    def run(**tensors):
        return case.run(instance, tensors)

    symbolic = keras.tree.flatten(
        keras.src.backend.compute_output_spec(run, **symbols)
    )
    assert [tuple(s.shape) for s in symbolic] == [
        tuple(o.shape) for o in outputs
    ]


def check_mixed_precision(case, dtype="mixed_bfloat16"):
    """Weights stay float32 and the numbers near those of float32."""
    _, inputs, outputs = _made(case)
    mixed = case.make(dtype)
    for weight in mixed.trainable_weights:
        assert keras.backend.standardize_dtype(weight.dtype) == "float32"
    a = np.asarray(case.real(inputs, outputs), "float32")
    b = case.run(mixed, inputs)
    b = keras.tree.map_structure(lambda t: ops.cast(t, "float32"), b)
    b = np.asarray(case.real(inputs, b), "float32")
    assert np.isfinite(b).all()
    # bfloat16 keeps 8 bits: 2**-8 a product, about sixteen in a row.
    assert np.abs(a - b).max() <= 0.06 * max(1.0, np.abs(a).max())


def check_save(case, folder):
    """A saved instance gives the same outputs when it is loaded."""
    instance, inputs = case.make(), case.inputs()
    path = str(folder / "saved.keras")
    if isinstance(instance, keras.Model):
        instance.save(path)
        loaded = keras.saving.load_model(path)
    else:
        x = keras.Input((LENGTH, WIDTH))
        mask = keras.Input((LENGTH,), dtype="bool")
        outputs = instance(x, mask=mask, prefix=1)
        keras.Model([x, mask], outputs).save(path)
        model = keras.saving.load_model(path)
        loaded = next(
            layer for layer in model.layers if type(layer) is type(instance)
        )
    for a, b in zip(
        _arrays(case.run(instance, inputs)),
        _arrays(case.run(loaded, inputs)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def check_padding(case):
    """What stands in the padding changes no real output by a single bit."""
    instance, inputs, outputs = _made(case)
    changed = case.repad(inputs, 19)
    a = case.real(inputs, outputs)
    b = case.real(inputs, case.run(instance, changed))
    np.testing.assert_array_equal(a, b)


def check_training_step(case):
    """The loss is finite and every trainable weight gets a gradient."""
    instance, inputs, _ = _made(case)
    loss, gradients = loss_and_gradients(
        lambda: case.loss(instance, inputs), instance.trainable_weights
    )
    assert np.isfinite(loss)
    for weight, gradient in zip(
        instance.trainable_weights, gradients, strict=True
    ):
        assert gradient is not None, weight.path
        assert np.isfinite(gradient).all(), weight.path
        # A bias of all keys adds the same to each logit of a row: softmax
        # does not see it and its true gradient is zero.
        if not weight.path.endswith("key/bias"):
            assert np.abs(gradient).max() > 0, weight.path


def causal_mixers():
    """Names of the mixers that have a causal form."""
    mixers = _registry.MIXERS
    return [name for name in mixers.names() if mixers.get(name).causal]


def options_of_steps(name):
    """Further options with which a mixer goes token by token."""
    cls = _registry.MIXERS.get(name)
    if cls.rotary and cls.step is not pixmodels.attention.Mixer.step:
        return [{}, {"rotary": 10.0, "head_dim": 8}]
    return [{}]


def check_steps(case):
    """Token by token gives the rows of the whole causal call."""
    length = 7
    layer, x = case.make(), case.inputs()["x"][:, :length]
    cache = layer.initial_cache(BATCH, length)
    for part in keras.tree.flatten(cache):
        assert part.shape[0] == BATCH
    whole = arrays_of(layer(x))
    for i in range(length):
        # Places both as they are in a Python loop and as in one of a graph.
        index = i if i % 2 else ops.convert_to_tensor(i, "int32")
        row, cache = layer.step(x[:, i], cache, index)
        scale = max(1.0, np.abs(whole).max())
        np.testing.assert_allclose(
            arrays_of(row), whole[:, i], rtol=0, atol=1e-5 * scale
        )


# --- Backends ---------------------------------------------------------------


def traced(function):
    """`function`, whose graph is made once for the same shapes."""
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    return tf.function(function, autograph=False)


def compiled(function, jit):
    """`function` in graph mode or under XLA; None where there is neither.

    TensorFlow's graph optimizer moves factors across products and turns
    quotients into products, which changes the last digit of a float32: it is
    off here, so that "identical" tests our code and not the optimizer.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def run(*args):
            switch = tf.config.optimizer.set_experimental_options
            switch({"disable_meta_optimizer": True})
            try:
                run = tf.function(
                    lambda *args: function(*args),
                    jit_compile=jit,
                    autograph=False,
                )
                return run(*args)
            finally:
                switch({"disable_meta_optimizer": False})

        return run
    if backend == "jax" and jit:
        import jax

        return jax.jit(function)
    return None


def loss_and_gradients(loss, weights):
    """The scalar and its gradients as numpy arrays, on any backend."""
    backend = keras.backend.backend()
    if not weights:  # fnet has none, and torch would refuse
        return float(ops.convert_to_numpy(loss())), []
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss()
        found = tape.gradient(value, [w.value for w in weights])
    elif backend == "torch":
        for weight in weights:
            weight.value.grad = None
        value = loss()
        value.backward()
        found = [weight.value.grad for weight in weights]
    else:
        import jax

        def stateless(values):
            mapping = list(zip(weights, values, strict=True))
            with keras.StatelessScope(state_mapping=mapping):
                return loss()

        value, found = jax.value_and_grad(stateless)([w.value for w in weights])
    arrays = [None if g is None else ops.convert_to_numpy(g) for g in found]
    return float(ops.convert_to_numpy(value)), arrays


def arrays_of(outputs):
    """The same structure with numpy arrays for tensors, on any backend."""
    return keras.tree.map_structure(ops.convert_to_numpy, outputs)


def _sublayers(instance):
    layers = instance._flatten_layers(include_self=False)
    return [x for x in layers if type(x).__module__.startswith("pixmodels")]


def _arrays(outputs):
    return keras.tree.flatten(arrays_of(outputs))
