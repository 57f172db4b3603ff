"""Small tasks for tests, and the weights of PIXEL's own heads in them.

Importers of published files are not here; the table knows only the spellings
of the fixture heads_tiny."""

import keras
import numpy as np
from keras import ops

import pixmodels
from pixmodels import tasks

SIDE, LENGTH, WIDTH = 5, 11, 12


def backbone(length=LENGTH, channels=1, side=SIDE, attention="softmax", **kw):
    """A `PIXELBackbone` of two tiny blocks."""
    options = pixmodels.attention.get(attention).small_options
    settings = {"num_layers": 2, "num_heads": 3, "hidden_dim": WIDTH}
    return pixmodels.PIXELBackbone(
        (side, side * length, channels),
        side,
        mlp_dim=13,
        attention=attention,
        **(settings | {"attention_options": options} | kw),
    )


def randomise(model, seed=3, scale=0.2):
    """Moves every trainable weight from its start; returns the model."""
    rng = np.random.default_rng(seed)
    for weight in model.trainable_weights:
        value = ops.convert_to_numpy(weight)
        weight.assign(value + scale * rng.normal(size=value.shape))
    return model


def batch(n=4, length=LENGTH, seed=5):
    """Random pixels with different numbers of patches."""
    rng = np.random.default_rng(seed)
    return {
        "pixels": rng.integers(0, 256, (n, SIDE, SIDE * length), "uint8"),
        "num_patches": np.array([1, 4, 6, 10, 2][:n], "int32") % length,
        "weight": np.array([1, 1, 1, 0, 1][:n], "float32"),
        "example_id": np.array([11, 2, 17, -1, 5][:n], "int32"),
    }


def arrays(outputs):
    """The same structure with numpy arrays for tensors."""
    return keras.tree.map_structure(ops.convert_to_numpy, outputs)


class PixelHeads:
    """The fixture heads_tiny: PIXEL's heads on three examples of 25 patches.

    Args:
        path: of the npz file.
    """

    def __init__(self, path):
        self.file = np.load(path)
        self.used = set()

    def inputs(self, name):
        """Inputs of one head, in our spelling, without labels."""
        at = "seq16/in" if name == "seq16" else "in"
        attended = self.file[f"{at}/attention_mask"]
        return {
            "pixels": self.file[f"{at}/pixel_values"].transpose(0, 2, 3, 1),
            "num_patches": attended.sum(axis=1).astype("int32") - 1,
            "example_id": np.arange(3, dtype="int32"),
        }

    def backbone(self):
        """A backbone of the fixture's sizes."""
        return pixmodels.PIXELBackbone(
            (16, 400, 3), num_layers=2, num_heads=4, hidden_dim=32, mlp_dim=64
        )

    def load(self, model, name):
        """Puts a head's weights in a model; returns the names left over."""
        at = f"{name}/w/"
        self._weights = {
            key.removeprefix(at): self.file[key]
            for key in self.file.files
            if key.startswith(at)
        }
        self.used = set()
        self._load_backbone(model.backbone)
        self._load_head(model)
        return set(self._weights) - self.used

    def _put(self, variable, name, change=lambda x: x):
        self.used.add(name)
        variable.assign(change(self._weights[name]))

    def _dense(self, layer, name):
        self._put(layer.kernel, f"{name}.weight", np.transpose)
        self._put(layer.bias, f"{name}.bias")

    def _norm(self, layer, name):
        self._put(layer.gamma, f"{name}.weight")
        self._put(layer.beta, f"{name}.bias")

    def _load_backbone(self, backbone):
        at = "vit.embeddings"
        projection = f"{at}.patch_embeddings.projection"
        embedding = backbone.embedding
        self._put(
            embedding.projection.kernel,
            f"{projection}.weight",
            # (D, C, h, w) -> (h * w * C, D)
            lambda x: x.transpose(2, 3, 1, 0).reshape(-1, x.shape[0]),
        )
        self._put(embedding.projection.bias, f"{projection}.bias")
        self._put(embedding.class_token, f"{at}.cls_token")
        table = backbone.position_embedding.table
        self._put(table, f"{at}.position_embeddings", lambda x: x[0])
        for i, block in enumerate(backbone.encoder.blocks):
            at = f"vit.encoder.layer.{i}"
            inside = f"{at}.attention.attention"
            for part in ("query", "key", "value"):
                self._dense(getattr(block.mixer, part), f"{inside}.{part}")
            self._dense(
                block.mixer.output_dense, f"{at}.attention.output.dense"
            )
            self._dense(block.dense_1, f"{at}.intermediate.dense")
            self._dense(block.dense_2, f"{at}.output.dense")
            self._norm(block.norm_1, f"{at}.layernorm_before")
            self._norm(block.norm_2, f"{at}.layernorm_after")
        self._norm(backbone.encoder.norm, "vit.layernorm")

    def _load_head(self, model):
        if isinstance(model, tasks.QuestionAnswerer):
            return self._dense(model.head_logits, "qa_outputs")
        if isinstance(model, tasks.DependencyParser):
            self._dense(model.head_root, "vit.pooler.dense")
            self._put(model.head_arcs.kernel, "biaffine_arcs.weight")
            self._put(model.head_relations.kernel, "biaffine_rels.weight")
            return None
        self._dense(model.head_logits, "classifier")
        if isinstance(model, tasks.TokenClassifier):
            return None
        if model.pooling == "cls":
            return self._dense(model.head_dense, "vit.pooler.dense")
        self._norm(model.head_norm, "pooler.ln")
        if model.head_dense is not None:
            self._dense(model.head_dense, "pooler.linear")
        if model.pooling == "attention":
            at = "pooler.pooling.pooler"
            pool = model.head_pooling
            self._put(pool.seed, f"{at}.S")
            for layer, name in (
                (pool.query, "fc_q"),
                (pool.key, "fc_k"),
                (pool.value, "fc_v"),
                (pool.output_dense, "fc_o"),
            ):
                self._dense(layer, f"{at}.mab.{name}")
        return None
