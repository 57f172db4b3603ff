import json
import pathlib

import numpy as np

from pixmodels._optional import load
from pixmodels.models.long_memory import check_pairs
from pixmodels.models.long_memory import check_width


class Datastore:
    """Contexts of a corpus and the tokens that followed them, on FAISS.

    TRIME's external memory and the datastore of kNN language models: the k
    contexts with the largest inner product with a query are found by
    `faiss-cpu` (`pip install pixmodels[memory]`).

    Source: Zhong et al. 2022, section 3.2, and Khandelwal et al. 2020
    ("Generalization through Memorization"), section 3.

    Args:
        width: D, of the contexts.
        index: a string of FAISS's `index_factory`: "Flat" searches exactly,
            "IVF64,Flat" in a few of 64 cells (after `train`), "HNSW32" in a
            graph.
        num_probes: cells that are searched, of indices with cells.

    Raises:
        ImportError: faiss is missing.
        ValueError: for an index that FAISS does not know.
    """

    def __init__(self, width, *, index="Flat", num_probes=8):
        faiss = load("faiss")
        self.width = width
        self.index = index
        self.num_probes = num_probes
        try:
            self._index = faiss.index_factory(
                width, index, faiss.METRIC_INNER_PRODUCT
            )
        except RuntimeError as error:
            raise ValueError(
                "Expected an index that faiss.index_factory knows. Received: "
                f"index={index!r}, width={width} ({error})."
            ) from error
        self._values = [np.zeros((0,), "int64")]

    def __len__(self):
        return self._index.ntotal

    @property
    def values(self):
        """(n,) int64, the tokens, in the order in which they were added."""
        if len(self._values) > 1:
            self._values = [np.concatenate(self._values)]
        return self._values[0]

    def train(self, keys):
        """Finds the cells or codes of an index that has them.

        Args:
            keys: (n, D) floating point, a sample of the contexts.
        """
        keys = np.asarray(keys, "float32")
        check_width(keys, self.width, "datastore")
        self._index.train(np.ascontiguousarray(keys))

    def add(self, keys, values):
        """Takes contexts and their tokens.

        Args:
            keys: (n, D) floating point.
            values: (n,) ints.

        Raises:
            ValueError: for keys of another width, keys that are not finite,
                another number of values, or an index that was not trained.
        """
        keys, values = check_pairs(keys, values)
        check_width(keys, self.width, "datastore")
        if not np.isfinite(keys).all():
            raise ValueError(
                "Expected finite keys. Received: "
                f"{int((~np.isfinite(keys)).any(1).sum())} of {len(keys)} "
                "with NaN or infinity."
            )
        if not self._index.is_trained:
            raise ValueError(
                f"Expected train(keys) before add with index={self.index!r}. "
                "Received: an index without cells."
            )
        self._index.add(np.ascontiguousarray(keys))
        self._values.append(values)

    def search(self, queries, k):
        """The nearest contexts.

        Args:
            queries: (n, D) floating point.
            k: how many at most.

        Returns:
            (scores, tokens): (n, K) float32 inner products, largest first,
            and (n, K) int64, K = min(k, len(self)). Where an index finds
            fewer, scores are -inf.

        Raises:
            ValueError: for an empty datastore or queries of another width.
        """
        queries = np.asarray(queries, "float32")
        check_width(queries, self.width, "datastore")
        if not len(self):
            raise ValueError(
                "Expected a datastore with contexts (add them first). "
                "Received: an empty one."
            )
        if hasattr(self._index, "nprobe"):
            self._index.nprobe = self.num_probes
        scores, found = self._index.search(
            np.ascontiguousarray(queries), min(k, len(self))
        )
        missing = found < 0
        tokens = self.values[np.where(missing, 0, found)]
        return np.where(missing, -np.inf, scores), tokens

    def save(self, folder):
        """Writes index and tokens to a folder, which is made."""
        faiss = load("faiss")
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        faiss.write_index(self._index, str(folder / "index.faiss"))
        np.save(folder / "values.npy", self.values)
        config = {"width": self.width, "index": self.index}
        config["num_probes"] = self.num_probes
        text = json.dumps(config, indent=2)
        (folder / "config.json").write_text(text + "\n", "utf-8")

    @classmethod
    def load(cls, folder):
        """The datastore that `save` wrote to a folder.

        Raises:
            ValueError: if index and tokens do not fit together.
        """
        faiss = load("faiss")
        folder = pathlib.Path(folder)
        config = json.loads((folder / "config.json").read_text("utf-8"))
        store = cls(**config)
        store._index = faiss.read_index(str(folder / "index.faiss"))
        store._values = [np.load(folder / "values.npy")]
        fits = store._index.d == store.width
        if not fits or store._index.ntotal != len(store.values):
            raise ValueError(
                f"Expected {len(store.values)} contexts of width "
                f"{store.width} in {folder}. Received: {store._index.ntotal} "
                f"of width {store._index.d}."
            )
        return store
