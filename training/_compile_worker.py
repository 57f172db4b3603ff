"""One compilation for TPU chips that are not there, in a process of its own.

Run as `python -m pixmodels.training._compile_worker SPEC`, SPEC in JSON; each
line of stdout is a JSON object. Here: how each kind of step is made and put
before the compiler, and what is read from its answer. Not here: which are
asked for, and how they are shown (`compile_check`).
"""

import collections
import dataclasses
import functools
import json
import math
import os
import re
import resource
import sys
import time

import numpy as np

_SETTINGS = {
    # No TPU is looked for; the topology says all that the compiler needs.
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_ACCELERATOR_TYPE": "v5litepod-8",
    # Nothing is held that a second process could take away.
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "JAX_PLATFORMS": "cpu",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}
_COLLECTIVE = re.compile(
    r" (all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute|"
    r"collective-broadcast)(?:-start)?\("
)
_ARRAY = re.compile(r"\b([a-z]+)(\d+)\w*\[([\d,]*)\]")
_DYNAMIC = re.compile(r"\[[^\]\s]*<=\d|tensor<[^>]*\?")
_FLOAT64 = re.compile(r"\bf64\[|tensor<(?:[\d?]+x)*f64>")
_TENSOR = re.compile(r"tensor<((?:\d+x)*)([a-z]+\d+)>")
_DTYPES = {
    "bf": "bfloat",
    "f": "float",
    "i": "int",
    "si": "int",
    "ui": "uint",
}
_TOO_MUCH = re.compile(r"\(([\d.]+)([KMGT]?)\) exceeds available HBM")
_AVAILABLE = re.compile(r"available HBM \(([\d.]+)([KMGT]?)\)")
# Rows of an array whose square no chip holds.
_HUGE = 600_000


def main():
    """Runs the task of a spec; a user's mistake is a line with "error"."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    spec = json.loads(sys.argv[1])
    # What libraries print must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    try:
        for answer in _TASKS[spec["task"]](spec):
            print(json.dumps(answer), file=answers, flush=True)
    except ValueError as error:
        print(json.dumps({"error": str(error)}), file=answers, flush=True)


def batch_of(config):
    """dict name -> (shape, dtype) of a pre-training batch of a config."""
    from pixmodels.training import experiment

    model = experiment.build_model(config)
    found = model.batch_spec(config.train.batch_size)
    if config.model.masking != "random":
        rows, columns = model.encoder.grid
        shape = (config.train.batch_size, rows * columns)
        found["patch_mask"] = (shape, "uint8")
    return found


def _chips(spec):
    """How many chips a topology has, and the memory of one in bytes."""
    import jax
    import jax.numpy as jnp
    from jax.sharding import SingleDeviceSharding

    devices = _devices(spec["topology"])
    chip = SingleDeviceSharding(devices[0])

    @functools.partial(jax.jit, in_shardings=chip, out_shardings=chip)
    def too_large(x):
        square = jnp.sin(x @ x.T)
        return square @ jnp.cos(square @ x)

    try:
        too_large.lower(_shape((_HUGE, 128), "float32")).compile()
        found = None
    except jax.errors.JaxRuntimeError as error:
        found = _AVAILABLE.search(str(error))
    yield {
        "chips": len(devices),
        "kind": devices[0].device_kind,
        "memory": found and _bytes(*found.groups()),
    }


def _jax_step(spec):
    """The jax driver's step, a global batch over all chips."""
    from jax.sharding import Mesh

    from pixmodels.training._jax_step import AXIS

    devices = _devices(spec["topology"])
    step, batch = _step_of(spec, Mesh(np.array(devices), (AXIS,)))
    state = [_shape(v.shape, v.dtype) for v in step.variables]
    lowered = step.train.lower(state, batch, _shape((2,), "int32"))
    yield _compiled(lowered)


def _step_of(spec, mesh):
    from pixmodels.training import _settings
    from pixmodels.training import experiment
    from pixmodels.training import jax_driver
    from pixmodels.training._jax_step import JaxStep
    from pixmodels.training.config import ExperimentConfig
    from pixmodels.training.updates import Updates

    config = _settings.from_dict(ExperimentConfig, spec["config"])
    batch = {
        name: _shape(shape, dtype)
        for name, (shape, dtype) in batch_of(config).items()
    }
    model = jax_driver.build_model(
        lambda: experiment.build_model(config), config.train, batch
    )
    return JaxStep(model, Updates(model, config.train), mesh), batch


def _tensorflow_step(spec):
    """Writes the TensorFlow driver's step of a replica as StableHLO."""
    import tensorflow as tf

    from pixmodels.training import _settings
    from pixmodels.training import experiment
    from pixmodels.training.config import ExperimentConfig
    from pixmodels.training.tensorflow_driver import TensorFlowDriver

    config = _settings.from_dict(ExperimentConfig, spec["config"])
    arrays = batch_of(config)
    first = {k: np.zeros((1, *s[1:]), d) for k, (s, d) in arrays.items()}
    driver = TensorFlowDriver(
        lambda: experiment.build_model(config), config.train, first
    )
    function = driver.gradient_function(list(arrays))
    text = function.experimental_get_compiler_ir(
        tf.TensorSpec((2,), "int32"),
        *(tf.TensorSpec(shape, dtype) for shape, dtype in arrays.values()),
    )(stage="stablehlo", platform_name="CPU")
    with open(spec["file"], "w") as file:
        file.write(text)
    yield {"variables": len(driver.model.trainable_variables)}


def _stablehlo(spec):
    """Compiles a file of StableHLO for one chip."""
    import jax
    from jax.sharding import SingleDeviceSharding

    chip = SingleDeviceSharding(_devices(spec["topology"])[0])
    with open(spec["file"]) as file:
        exported = _exported(file.read())
    call = jax.jit(exported.call, in_shardings=chip, out_shardings=chip)
    yield _compiled(call.lower(*exported.in_avals))


def _exported(text):
    """StableHLO with arrays in and arrays out as a function of jax."""
    import jax
    import jax.numpy as jnp
    from jax import export
    from jaxlib.mlir.dialects import stablehlo

    main = re.search(r"func\.func (?:public )?@main\((.*)", text)[1]
    arguments, _, results = main.partition(") -> ")
    inputs, outputs = (
        [_shape(*found) for found in _tensors(part)]
        for part in (arguments, results)
    )

    def stand_in(*unused):
        return [jnp.zeros(o.shape, o.dtype) for o in outputs]

    made = export.export(
        jax.jit(stand_in, keep_unused=True), platforms=["tpu"]
    )(*inputs)
    return dataclasses.replace(
        made,
        mlir_module_serialized=stablehlo.serialize_portable_artifact_str(
            text, stablehlo.get_current_version()
        ),
    )


def _mechanisms(spec):
    """A block around each mixer, forward and backward, on one chip."""
    from jax.sharding import SingleDeviceSharding

    from pixmodels import attention

    chip = SingleDeviceSharding(_devices(spec["topology"])[0])
    for name in spec["names"] or attention.names():
        yield {"name": name, **_mechanism(name, spec, chip)}


def _mechanism(name, spec, chip):
    import jax
    import keras

    from pixmodels.layers import TransformerBlock
    from pixmodels.training.precision import dtype_policy

    shape = (spec["rows"], spec["length"], spec["width"])
    with dtype_policy(spec["dtype"]):
        block = TransformerBlock(
            spec["heads"], 4 * spec["width"], attention=name
        )
    try:
        block.build(shape)
    except ValueError as error:
        return {"reason": str(error)}
    trained = block.trainable_variables
    others = block.non_trainable_variables

    def loss(values, rest, x):
        mapping = [*zip(trained, values), *zip(others, rest)]
        with keras.StatelessScope(mapping):
            y = block(x, training=True)
        return keras.ops.sum(keras.ops.square(keras.ops.cast(y, "float32")))

    step = jax.jit(
        jax.grad(loss, argnums=(0, 2)), in_shardings=chip, out_shardings=chip
    )
    arguments = [[_shape(v.shape, v.dtype) for v in trained]]
    arguments += [[_shape(v.shape, v.dtype) for v in others]]
    arguments += [_shape(shape, block.compute_dtype)]
    try:
        lowered = step.lower(*arguments)
    except ValueError as error:
        return {"reason": str(error)}
    return _compiled(lowered)


def _compiled(lowered):
    """What the compiler says of a step: a dict of numbers."""
    import jax

    text = lowered.as_text()
    begin, before = time.perf_counter(), _processor_seconds()
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        needed = _TOO_MUCH.search(str(error))
        answer = {"reason": str(error).splitlines()[0]}
        if needed:
            answer["needed"] = _bytes(*needed.groups())
        return answer
    seconds = time.perf_counter() - begin
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    hlo = compiled.as_text()
    return {
        "seconds": seconds,
        "processor_seconds": _processor_seconds() - before,
        "flops": cost["flops"],
        "bytes": cost["bytes accessed"],
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes,
        "aliased": memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
        "collectives": _collectives(hlo),
        "dynamic": len(_DYNAMIC.findall(text) + _DYNAMIC.findall(hlo)),
        "float64": len(_FLOAT64.findall(text) + _FLOAT64.findall(hlo)),
    }


def _collectives(hlo):
    """dict from the name of a collective to [how many, their bytes]."""
    found = collections.defaultdict(lambda: [0, 0])
    for line in hlo.splitlines():
        match = _COLLECTIVE.search(line)
        if match:
            # What it gives stands between "=" and its name.
            result = line[: match.start()].partition("=")[2]
            found[match[1]][0] += 1
            found[match[1]][1] += sum(
                int(bits) // 8 * math.prod(map(int, filter(None, sizes)))
                for bits, sizes in (
                    (bits, sizes.split(","))
                    for _, bits, sizes in _ARRAY.findall(result)
                )
            )
    return dict(found)


def _devices(topology):
    import jax
    from jax.experimental import topologies

    try:
        return topologies.get_topology_desc(topology, platform="tpu").devices
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(
            "Expected a topology that libtpu knows, such as v5e:2x4, v4:2x2x1 "
            f"or v6e:4x4. Received: topology={topology!r}; libtpu says: "
            f"{str(error).splitlines()[0]}"
        ) from error


def _shape(shape, dtype):
    import jax

    return jax.ShapeDtypeStruct(tuple(shape), dtype)


def _tensors(text):
    """`tensor<6x5xui8>` in a text of MLIR -> list of (shape, dtype)."""
    found = []
    for sizes, dtype in _TENSOR.findall(text):
        kind, bits = re.fullmatch(r"([a-z]+)(\d+)", dtype).groups()
        shape = tuple(int(n) for n in sizes.split("x")[:-1])
        name = "bool" if dtype == "i1" else f"{_DTYPES[kind]}{bits}"
        found.append((shape, name))
    return found


def _bytes(number, prefix):
    return float(number) * 1024 ** " KMGT".index(prefix or " ")


def _processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


_TASKS = {
    "chips": _chips,
    "jax": _jax_step,
    "tensorflow": _tensorflow_step,
    "stablehlo": _stablehlo,
    "mechanisms": _mechanisms,
}

if __name__ == "__main__":
    main()
