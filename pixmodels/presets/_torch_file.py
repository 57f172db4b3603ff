"""Files that `torch.save` wrote: the one module that imports torch.

Read with `weights_only=True`, which builds tensors and plain containers and
runs nothing else that a pickle asks for."""

import argparse


def read(path):
    """A checkpoint as it was saved, tensors on the CPU.

    Args:
        path: `.bin`, `.pt` or `.pth` file.

    Raises:
        ImportError: torch is not installed; says what to do without it.
        ValueError: the file is cut, or holds more than weights.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "expected the package 'torch', without which a .bin or .pth file "
            "cannot be read safely: pip install torch, or take the "
            "safetensors form of the same weights. "
            f"Received: path={str(path)!r}"
        ) from error
    try:
        # MAE's own checkpoints keep the command line beside the weights.
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises a dozen kinds
        raise ValueError(
            "Expected a whole PyTorch file of weights and nothing else. "
            f"Received: path={str(path)!r} ({type(error).__name__}: {error})"
        ) from error


def array(tensor):
    """A tensor as float32 numpy."""
    return tensor.detach().float().numpy()
