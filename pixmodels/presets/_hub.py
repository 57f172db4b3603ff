"""From `hf://org/name` to a folder on this machine.

Here: which files of a repository are fetched, and where from. Fetching and its
cache are the library huggingface_hub's. Not here: what the files mean."""

import fnmatch
import os
import re
from pathlib import Path

from pixmodels._optional import load

PREFIX = "hf://"
_ADDRESS = re.compile(
    r"hf://(?P<repo>[^/@\s]+/[^/@\s]+)(@(?P<revision>[^/\s]+))?(/(?P<file>.+))?"
)
# The first kind of weights that a repository has is taken.
WEIGHTS = (
    ("*.safetensors", "*.safetensors.index.json"),
    ("*.weights.h5", "*.weights.json"),
    ("*.npz",),
    ("pytorch_model*.bin", "pytorch_model.bin.index.json"),
    ("*.pth", "*.pt"),
)
FONTS = ("*.ttf", "*.otf", "*.ttc")


def fetch(address):
    """The local copy of a repository, or of one file in it.

    Args:
        address: "hf://org/name", with "@revision" and "/file.npz" if wanted.
            The environment variables HF_ENDPOINT, HF_TOKEN, HF_HOME,
            HF_HUB_CACHE and HF_HUB_OFFLINE are honoured.

    Returns:
        `Path` in the cache. Without a connection, what the cache holds.

    Raises:
        ImportError: huggingface_hub is missing.
        ValueError: for another form of address, a repository that does not
            exist or holds no weights, and where neither hub nor cache has it.
    """
    match = _ADDRESS.fullmatch(address)
    if not match:
        raise ValueError(
            "Expected an address such as 'hf://org/name', "
            "'hf://org/name@revision' or 'hf://org/name/file.npz'. Received: "
            f"path={address!r}."
        )
    place = {"repo_id": match["repo"], "revision": match["revision"]}
    return _fetch(address, place, match["file"])


def _fetch(address, place, file):
    hub, errors = load("huggingface_hub"), load("huggingface_hub.errors")
    if _offline():
        return _cached(hub, address, place, file, "HF_HUB_OFFLINE is set")
    try:
        wanted = [file] if file else _wanted(hub, address, place)
        folder = hub.snapshot_download(
            **place,
            allow_patterns=wanted,
            cache_dir=_cache(),
            endpoint=_endpoint(),
        )
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError) as e:
        raise ValueError(
            "Expected a repository that exists and that you may read (set "
            f"HF_TOKEN). Received: path={address!r} ({_first_line(e)})"
        ) from e
    except (OSError, errors.HTTPError) as error:
        return _cached(hub, address, place, file, _first_line(error))
    found = Path(folder) / file if file else Path(folder)
    if not found.exists():
        raise ValueError(
            f"Expected a file of the repository. Received: path={address!r}."
        )
    return found


def _offline():
    flag = os.environ.get("HF_HUB_OFFLINE", "")
    return flag.upper() in ("1", "ON", "YES", "TRUE")


def _endpoint():
    return os.environ.get("HF_ENDPOINT") or None


def _cache():
    """Read now, not when huggingface_hub was imported."""
    home = os.environ.get("HF_HOME")
    return os.environ.get("HF_HUB_CACHE") or (home and f"{home}/hub") or None


def _wanted(hub, address, place):
    """Names of the files to fetch."""
    found = hub.HfApi(endpoint=_endpoint()).repo_info(**place)
    names = [sibling.rfilename for sibling in found.siblings]
    top = [name for name in names if "/" not in name]
    for patterns in WEIGHTS:
        weights = [n for n in top if _matches(n, patterns)]
        if weights:
            break
    else:
        raise ValueError(
            "Expected a repository with weights (safetensors, h5, npz, bin or "
            f"pth). Received: path={address!r} with the files {names}."
        )
    drawn = {"text_renderer_config.json", "renderer.json"} & set(top)
    fonts = [n for n in names if drawn and _matches(n, FONTS)]
    return [n for n in top if n.endswith(".json")] + weights + fonts


def _matches(name, patterns):
    return any(fnmatch.fnmatch(name, pattern) for pattern in patterns)


def _cached(hub, address, place, file, reason):
    """What the cache holds of a repository."""
    found = hub.try_to_load_from_cache(
        place["repo_id"],
        file or "config.json",
        cache_dir=_cache(),
        revision=place["revision"],
    )
    if not isinstance(found, str):
        raise ValueError(
            "Expected a repository on the hub or in the cache, a connection, "
            f"or another HF_ENDPOINT. Received: path={address!r} ({reason})"
        )
    return Path(found) if file else Path(found).parent


def _first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
