import numpy as np
from keras import ops

from pixmodels._registry import TASKS
from pixmodels.tasks._pooled_text import PooledTextTask


@TASKS.register("text_regressor")
class TextRegressor(PooledTextTask):
    """One number for a text (or a pair) drawn as patches, as for STS-B.

    The head is that of `TextClassifier` with one output; the loss is the
    squared error.

    Source: xplip/pixel `modeling_pixel.py` (PIXELForSequenceClassification
    with one label).

    Args:
        backbone, pooling, dropout_rate, pooling_heads, leaky: as
            `TextClassifier`.

    Call arguments:
        inputs, training: as `TextClassifier`. Labels of a training batch are
            (B,) float32.

    Returns:
        (B, 1) float32, under any dtype policy.

    Raises:
        TypeError, ValueError: as `TextClassifier`.

    Example:
        >>> import numpy as np
        >>> backbone = pixmodels.PIXELBackbone(
        ...     (16, 16 * 11, 1), num_layers=1, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> model = pixmodels.tasks.TextRegressor(backbone)
        >>> pixels = np.full((2, 16, 16 * 5), 255, "uint8")
        >>> model({"pixels": pixels, "num_patches": np.array([2, 4])}).shape
        TensorShape([2, 1])
    """

    small_options = {}
    config_names = "pooling dropout_rate pooling_heads leaky"

    def __init__(
        self,
        backbone,
        *,
        pooling="mean",
        dropout_rate=0.1,
        pooling_heads=None,
        leaky=False,
        **kwargs,
    ):
        super().__init__(
            backbone,
            1,
            pooling=pooling,
            dropout_rate=dropout_rate,
            pooling_heads=pooling_heads,
            leaky=leaky,
            **kwargs,
        )

    def sums(self, outputs, batch):
        label = ops.cast(batch["label"], "float32")
        weight = batch.get("weight")
        if weight is None:
            weight = ops.ones_like(label)
        weight = ops.cast(weight, "float32")
        error = ops.square(outputs[:, 0] - label)
        return {"loss": ops.sum(error * weight)}, {"loss": ops.sum(weight)}

    def serve_shapes(self):
        return {"logits": (None, 1)}

    def score(self, texts, labels, renderer, **options):
        """How well predictions follow the labels of texts.

        Args:
            texts: a list of what the renderer takes.
            labels: (n,) floats.
            renderer, **options: as `predict_texts`.

        Returns:
            dict: "mean_squared_error", "pearson" and "spearman", the
            correlations (GLUE's measures of STS-B); the correlations are nan
            where labels or predictions are all equal.

        Raises:
            ValueError: for fewer than two texts, or labels of another length.
        """
        texts = list(texts)
        labels = np.asarray(labels, "float64")
        if len(texts) < 2 or labels.shape != (len(texts),):
            raise ValueError(
                "Expected two texts or more with a label each. Received: "
                f"{len(texts)} texts, labels of shape {labels.shape}."
            )
        found = self.predict_texts(texts, renderer, **options)[:, 0]
        return {
            "mean_squared_error": float(np.mean((found - labels) ** 2)),
            **_correlations(found.astype("float64"), labels),
        }

    def batch_spec(self, batch_size, length=None):
        spec = super().batch_spec(batch_size, length)
        return {**spec, "label": ((batch_size,), "float32")}


def _correlations(found, labels):
    if np.ptp(found) == 0 or np.ptp(labels) == 0:
        return {"pearson": float("nan"), "spearman": float("nan")}
    from scipy import stats

    return {
        "pearson": float(stats.pearsonr(found, labels).statistic),
        "spearman": float(stats.spearmanr(found, labels).statistic),
    }
