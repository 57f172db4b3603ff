from keras import ops

from pixmodels import patches
from pixmodels._registry import TASKS
from pixmodels.layers import Dropout
from pixmodels.tasks import _classification
from pixmodels.tasks import _reading
from pixmodels.tasks import _words
from pixmodels.tasks.task import prefix_of
from pixmodels.tasks.text_task import TextTask


@TASKS.register("token_classifier")
class TokenClassifier(TextTask):
    """A tag for each word of a drawn sentence: dropout and a dense layer.

    Each patch gets logits; the label of a word stands on its first patch and
    the other patches have none. For part-of-speech tags and named entities.

    Source: xplip/pixel `modeling_pixel.py` (PIXELForTokenClassification).
    Difference: labels right of the end patch are ignored, too.

    Args:
        backbone: a `PIXELBackbone`, or any encoder that takes `mask`.
        num_classes: int >= 2, tags.
        dropout_rate: of the head, in [0, 1).
        labels: num_classes str, the names of the tags, or None.

    Call arguments:
        inputs: dict with `pixels` and `num_patches` as `TextClassifier`.
            Labels of a training batch are (B, N) int32, one for each patch;
            -100 and other negative numbers are ignored
            (`label_patches` makes them from words).
        training: bool.

    Returns:
        logits: (B, N, num_classes) float32, under any dtype policy.

    Raises:
        TypeError: for a backbone that is none.
        ValueError: for fewer than two classes, labels that do not fit; in a
            call, as `TextClassifier`.

    Example:
        >>> backbone = pixmodels.PIXELBackbone(
        ...     (16, 16 * 23, 1), num_layers=1, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> model = pixmodels.tasks.TokenClassifier(
        ...     backbone, 2, labels=("noun", "verb"))
        >>> renderer = pixmodels.renderers.CairoRenderer()
        >>> tags = model.tag([["cats", "purr"]], renderer)
        >>> len(tags), len(tags[0])
        (1, 2)
    """

    small_options = {}
    config_names = "num_classes dropout_rate labels"

    def __init__(
        self,
        backbone,
        num_classes,
        *,
        dropout_rate=0.1,
        labels=None,
        **kwargs,
    ):
        super().__init__(backbone, **kwargs)
        # === Config ===
        self.num_classes = num_classes
        self.dropout_rate = dropout_rate
        self.labels = _classification.check_classes(num_classes, labels)
        # === Layers ===
        self.head_dropout = Dropout(
            dropout_rate,
            salt="head/dropout",
            name="head_dropout",
            dtype=self.dtype_policy,
        )
        self.head_logits = _classification.dense(
            num_classes, "head_logits", self.dtype_policy
        )
        self.build(None)

    def build(self, input_shape=None):
        if self.built:
            return
        self.head_logits.build((None, None, self.backbone.hidden_dim))
        self.built = True

    def call(self, inputs, training=None):
        sequence, _ = self.encode(inputs, training)
        x = sequence[:, prefix_of(self.backbone) :]
        x = self.head_dropout(x, training=training)
        return ops.cast(self.head_logits(x), "float32")

    def sums(self, outputs, batch):
        label = ops.cast(batch["label"], "int32")  # (B, N)
        if len(label.shape) != 2 or label.shape[1] != outputs.shape[1]:
            raise ValueError(
                "Expected a label for each patch, of shape (B, "
                f"{outputs.shape[1]}). Received: label.shape="
                f"{tuple(label.shape)}."
            )
        counted = label >= 0
        attended = patches.attended(batch, outputs.shape[1])
        if attended is not None:
            counted = counted & attended
        weight = ops.cast(counted, "float32")
        if batch.get("weight") is not None:
            weight = weight * ops.cast(batch["weight"], "float32")[:, None]
        return _classification.cross_entropy_sums(
            outputs, {"label": label, "weight": weight}
        )

    def serve(self, inputs):
        return _classification.with_probabilities(self(inputs, training=False))

    def serve_shapes(self):
        shape = (None, None, self.num_classes)
        return {"logits": shape, "probabilities": shape}

    def tag(
        self,
        sentences,
        renderer,
        *,
        batch_size=64,
        buckets=None,
        progress=None,
        compiled=False,
    ):
        """Draws sentences and names the likeliest tag of each word.

        Args:
            sentences: list of lists of words, or one list of words.
            renderer: `pixmodels.renderers.CairoRenderer` with the backbone's
                patch size.
            batch_size, buckets, progress, compiled: as
                `TextClassifier.predict_texts`.

        Returns:
            for each sentence a list with a (tag: str, probability: float) for
            each word, None for a word that was cut off (a UserWarning names
            the sentences). A single list of words gives a single list.

        Raises:
            TypeError: for sentences that are not lists of words.
            ValueError: for a renderer with another patch size.
        """
        sentences, single = _words.sentences(sentences)
        answers = [None] * len(sentences)
        for indices, drawn, logits in _reading.read(
            self,
            sentences,
            renderer,
            batch_size=batch_size,
            buckets=buckets,
            progress=progress,
            compiled=compiled,
        ):
            for index, starts, row in zip(indices, drawn.word_starts, logits):
                tags = _classification.best(self, row[list(starts[:-1])])
                missing = len(sentences[index]) - len(tags)
                answers[index] = tags + [None] * missing
        return answers[0] if single else answers

    def batch_spec(self, batch_size, length=None):
        spec = super().batch_spec(batch_size, length)
        shape = (batch_size, self.length_of(length))
        return {**spec, "label": (shape, "int32")}
