from pixmodels._registry import TASKS
from pixmodels.tasks import _classification
from pixmodels.tasks import _reading
from pixmodels.tasks._pooled_text import POOLING as POOLING
from pixmodels.tasks._pooled_text import PooledTextTask


@TASKS.register("text_classifier")
class TextClassifier(PooledTextTask):
    """One label for a text drawn as patches: PIXEL's sequence head.

    "mean" and "max": the class token is dropped; a dense layer of the
    backbone's width, exact GELU, LayerNorm and dropout stand before the mean
    or maximum over attended patches (text, separators, end patch); a dense
    layer gives the logits. "attention": the same with LayerNorm, dropout and
    `pixmodels.layers.AttentionPooling`. "cls": a dense layer with tanh on the
    class token, dropout, a dense layer. Pixels right of the end patch change
    no logit.

    Source: xplip/pixel `modeling_pixel.py`
    (PIXELForSequenceClassification), `pooling.py`. Differences: PIXEL has no
    dropout in the "cls" head; its attention pooling ("pma8" and the like) lets
    padding take part, which `leaky=True` does for weights that were trained
    so. Regression is `TextRegressor`.

    Args:
        backbone: a `PIXELBackbone`, or any encoder that takes `mask`.
        num_classes: int >= 2.
        pooling: "mean", "max", "cls" or "attention".
        dropout_rate: of the head, in [0, 1).
        labels: num_classes str, the names of the classes, or None.
        pooling_heads: heads of the attention pooling; the backbone's by
            default.
        leaky: whether padding takes part in the attention pooling, as in
            PIXEL. Texts are then read at the full length of the backbone.

    Call arguments:
        inputs: dict with
            `pixels`: (B, H, W) or (B, H, W, C), uint8 in [0, 255] or float in
                [0, 1], white is 1; one channel is repeated to the backbone's;
            `num_patches`: (B,) int, patches without the end patch (optional:
                all patches are attended without it).
            Other keys are ignored, so that a training batch may be given.
        training: bool.

    Returns:
        logits: (B, num_classes) float32, under any dtype policy.

    Raises:
        TypeError: for a backbone that is none.
        ValueError: for an unknown pooling, fewer than two classes, labels
            that do not fit; in a call, for another input structure, height,
            channel count or number of dimensions.

    Example:
        >>> import numpy as np
        >>> backbone = pixmodels.PIXELBackbone(
        ...     (16, 16 * 11, 1), num_layers=1, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> model = pixmodels.tasks.TextClassifier(backbone, 3)
        >>> pixels = np.full((2, 16, 16 * 5), 255, "uint8")
        >>> model({"pixels": pixels, "num_patches": np.array([2, 4])}).shape
        TensorShape([2, 3])
    """

    small_options = {}
    config_names = "num_classes pooling dropout_rate labels pooling_heads leaky"

    def __init__(
        self,
        backbone,
        num_classes,
        *,
        pooling="mean",
        dropout_rate=0.1,
        labels=None,
        pooling_heads=None,
        leaky=False,
        **kwargs,
    ):
        labels = _classification.check_classes(num_classes, labels)
        super().__init__(
            backbone,
            num_classes,
            pooling=pooling,
            dropout_rate=dropout_rate,
            pooling_heads=pooling_heads,
            leaky=leaky,
            **kwargs,
        )
        self.num_classes = num_classes
        self.labels = labels

    def sums(self, outputs, batch):
        return _classification.cross_entropy_sums(outputs, batch)

    def serve(self, inputs):
        return _classification.with_probabilities(self(inputs, training=False))

    def serve_shapes(self):
        shape = (None, self.num_classes)
        return {"logits": shape, "probabilities": shape}

    def classify(self, texts, renderer, *, batch_size=64, **options):
        """Draws texts and names their likeliest labels.

        Args:
            texts: a str, or a list of what the renderer takes.
            renderer: `pixmodels.renderers.CairoRenderer` with the backbone's
                patch size.
            batch_size: texts that are drawn and read at once.
            **options: as `predict_texts`.

        Returns:
            list of (label: str, probability: float), one for each text; the
            label is the number of the class where the model has no labels.
            Texts that do not fit are cut with a UserWarning.

        Raises:
            ValueError: for a renderer with another patch size.
        """
        texts = _reading.listed(texts)
        logits = self.predict_texts(
            texts, renderer, batch_size=batch_size, **options
        )
        return _classification.best(self, logits) if texts else []
