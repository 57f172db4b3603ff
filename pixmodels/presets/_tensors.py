"""Files of weights as one mapping from names to float32 arrays.

Here: safetensors, npz and h5, and sets of them; `.bin` and `.pth` through
`_torch_file`. Not here: what the names mean (one table per format)."""

import functools
import json
import zipfile
from pathlib import Path

import numpy as np

from pixmodels._optional import load
from pixmodels.presets import _torch_file


class Tensors:
    """Weights by name; an array is read when it is asked for.

    Args:
        readers: dict name -> (shape, function without arguments that gives
            the array).
        source: path shown in errors.
        extra: what else the file holds (PyTorch checkpoints), a dict.
    """

    def __init__(self, readers, source, extra=None):
        self._readers = readers
        self.source = str(source)
        self.extra = extra or {}

    def __contains__(self, name):
        return name in self._readers

    def __iter__(self):
        return iter(self._readers)

    def __len__(self):
        return len(self._readers)

    def shape(self, name):
        return tuple(self._readers[name][0])

    def __getitem__(self, name):
        return self._readers[name][1]()

    def renamed(self, rename):
        """The same arrays under other names; None leaves a name out.

        Raises:
            ValueError: if two names become one.
        """
        readers = {}
        for name, reader in self._readers.items():
            new = rename(name)
            if new in readers:
                raise ValueError(
                    "Expected each weight once. Received: two spellings of "
                    f"{new!r} in {self.source}."
                )
            if new is not None:
                readers[new] = reader
        return Tensors(readers, self.source, self.extra)

    def joined(self, other):
        """Both files as one mapping."""
        readers = {**self._readers, **other._readers}
        return Tensors(readers, f"{self.source}, {other.source}")


def read(paths):
    """Opens one file, or the parts of one checkpoint.

    Args:
        paths: list of files of one kind.

    Raises:
        ImportError: a package for this kind is missing.
        ValueError: an unknown kind, or a file that is cut or not what its
            name says.
    """
    readers, extra = {}, {}
    for path in map(Path, paths):
        kind = _KINDS.get(path.suffix)
        if kind is None:
            raise ValueError(
                f"Expected a file of weights, {', '.join(_KINDS)}. Received: "
                f"path={str(path)!r}."
            )
        found, more = kind(path)
        readers.update(found)
        extra.update(more)
    return Tensors(readers, ", ".join(map(str, paths)), extra)


def _broken(path, error):
    return ValueError(
        f"Expected a whole {path.suffix} file. Received: path={str(path)!r} "
        f"({type(error).__name__}: {error})"
    )


def _safetensors(path):
    library = load("safetensors")
    try:
        file = library.safe_open(path, framework="np")
        with file:
            names = list(file.keys())
            slices = {name: file.get_slice(name) for name in names}
            shapes = {name: slices[name].get_shape() for name in names}
            kinds = {name: slices[name].get_dtype() for name in names}
    except (library.SafetensorError, OSError) as error:
        raise _broken(path, error) from error
    header = _safetensors_header(path) if "BF16" in kinds.values() else None

    def get(name):
        if kinds[name] == "BF16":  # numpy has no such type
            begin, end = header[name]["data_offsets"]
            raw = np.fromfile(
                path, "<u2", (end - begin) // 2, offset=header["at"] + begin
            )
            return _bfloat16(raw).reshape(shapes[name])
        with library.safe_open(path, framework="np") as file:
            return file.get_tensor(name).astype("float32")

    return {
        name: (shapes[name], functools.partial(get, name)) for name in names
    }, {}


def _safetensors_header(path):
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        return {**json.loads(file.read(size)), "at": 8 + size}


def _bfloat16(raw):
    return (raw.astype("uint32") << 16).view("float32")


def _npz(path):
    try:
        # numpy leaves a file that it opened and cannot read open.
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            shapes = {name: file[name].shape for name in file.files}
    except (zipfile.BadZipFile, OSError, ValueError, EOFError) as error:
        raise _broken(path, error) from error

    def get(name):
        with np.load(path, allow_pickle=False) as file:
            array = file[name]
        if array.dtype.kind == "V" and array.dtype.itemsize == 2:
            # numpy stores bfloat16 as two bytes without a meaning.
            return _bfloat16(array.view("uint16"))
        return array.astype("float32")

    return {
        name: (shape, functools.partial(get, name))
        for name, shape in shapes.items()
    }, {}


def _h5(path):
    h5py = load("h5py")
    shapes = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            shapes[name] = item.shape

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except OSError as error:
        raise _broken(path, error) from error

    def get(name):
        with h5py.File(path, "r") as file:
            return np.asarray(file[name][()]).astype("float32")

    return {
        name: (shape, functools.partial(get, name))
        for name, shape in shapes.items()
    }, {}


def _torch(path):
    content = _torch_file.read(path)
    state = content.get("model", content.get("state_dict", content))
    extra = {k: v for k, v in content.items() if k not in state}
    readers = {
        name: (tuple(x.shape), functools.partial(_torch_file.array, x))
        for name, x in state.items()
        if hasattr(x, "detach")
    }
    return readers, extra


_KINDS = {
    ".safetensors": _safetensors,
    ".npz": _npz,
    ".h5": _h5,
    ".bin": _torch,
    ".pt": _torch,
    ".pth": _torch,
}
