import numpy as np
from keras import ops

from pixmodels._registry import TASKS
from pixmodels.layers import Biaffine
from pixmodels.layers import Dropout
from pixmodels.tasks import _classification
from pixmodels.tasks import _reading
from pixmodels.tasks import _trees
from pixmodels.tasks import _words
from pixmodels.tasks.dependency_tree import DependencyTree
from pixmodels.tasks.task import check_class_token
from pixmodels.tasks.task import example_specs
from pixmodels.tasks.task import prefix_of
from pixmodels.tasks.text_task import TextTask

_ABSENT_LOGIT = -1e9
_WORD_BUCKETS = (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


@TASKS.register("dependency_parser")
class DependencyParser(TextTask):
    """The head of each word of a drawn sentence, and its relation to it.

    A word's vector is the mean of its patches; the root's is a dense layer
    with tanh on the class token. Two biaffine layers score every word against
    every head.

    Source: xplip/pixel `modeling_pixel.py` (PIXELForBiaffineParsing); Dozat
    and Manning 2017 without their MLPs, as there. Differences: places without
    a word are no candidates for a head (PIXEL leaves them in the softmax with
    logit 0; `leaky=True` does); nothing is its own head when a sentence is
    parsed; trees can be asked for.

    Args:
        backbone: a `PIXELBackbone`, or any encoder with a class token that
            takes `mask`.
        num_classes: int >= 2, relations.
        dropout_rate: of the head, in [0, 1).
        labels: num_classes str, the names of the relations, or None.
        leaky: whether absent words take part in the softmax, as in PIXEL.

    Call arguments:
        inputs: dict with `pixels` and `num_patches` as `TextClassifier`, and
            `word_starts` (B, W + 1) int32: the patch where each word starts,
            then the patch after the last, filled up with negative numbers. A
            training batch has `head` (B, W) int32, 0 for the root and else
            the number of the head counted from 1, and `relation` (B, W)
            int32; negative numbers are ignored.
        training: bool.

    Returns:
        dict of float32, under any dtype policy: `arc_logits` (B, W, W + 1),
        the root first, -1e9 for absent words; `relation_logits` (B, W, W + 1,
        num_classes).

    Raises:
        TypeError: for a backbone that is none.
        ValueError: for fewer than two classes, labels that do not fit, a
            backbone without class token; in a call, for inputs without
            `word_starts`, or as `TextClassifier`.

    Example:
        >>> backbone = pixmodels.PIXELBackbone(
        ...     (16, 16 * 23, 1), num_layers=1, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> model = pixmodels.tasks.DependencyParser(backbone, 3)
        >>> renderer = pixmodels.renderers.CairoRenderer()
        >>> tree = model.parse(["cats", "purr"], renderer, decode="tree")
        >>> tree.is_tree()
        True
    """

    small_options = {}
    config_names = "num_classes dropout_rate labels leaky"
    word_inputs = {"word_starts": ((None, None), "int32")}

    def __init__(
        self,
        backbone,
        num_classes,
        *,
        dropout_rate=0.1,
        labels=None,
        leaky=False,
        **kwargs,
    ):
        super().__init__(backbone, **kwargs)
        check_class_token(backbone, "the root of a sentence")
        # === Config ===
        self.num_classes = num_classes
        self.dropout_rate = dropout_rate
        self.labels = _classification.check_classes(num_classes, labels)
        self.leaky = leaky
        # === Layers ===
        self.head_root = _classification.dense(
            backbone.hidden_dim, "head_root", self.dtype_policy
        )
        self.head_dropout = Dropout(
            dropout_rate,
            salt="head/dropout",
            name="head_dropout",
            dtype=self.dtype_policy,
        )
        self.head_arcs = Biaffine(
            1, bias_y=False, name="head_arcs", dtype=self.dtype_policy
        )
        self.head_relations = Biaffine(
            num_classes, name="head_relations", dtype=self.dtype_policy
        )
        self.build(None)

    def build(self, input_shape=None):
        if self.built:
            return
        shape = (None, None, self.backbone.hidden_dim)
        self.head_root.build(shape)
        self.head_arcs.build(shape, shape)
        self.head_relations.build(shape, shape)
        self.built = True

    def call(self, inputs, training=None):
        sequence, _ = self.encode(inputs, training)
        starts = _starts(inputs)
        root = ops.tanh(self.head_root(sequence[:, 0]))
        x = sequence[:, prefix_of(self.backbone) :]
        words = _mean_of_words(self.head_dropout(x, training=training), starts)
        heads = ops.concatenate([root[:, None], words], axis=1)
        arcs = ops.cast(self.head_arcs(words, heads)[..., 0], "float32")
        relations = self.head_relations(words, heads)
        if not self.leaky:
            candidates = _candidates(starts)[:, None]
            arcs = ops.where(candidates, arcs, _ABSENT_LOGIT)
        return {
            "arc_logits": arcs,
            "relation_logits": ops.cast(relations, "float32"),
        }

    def sums(self, outputs, batch):
        arcs, relations = outputs["arc_logits"], outputs["relation_logits"]
        head = ops.cast(batch["head"], "int32")
        relation = ops.cast(batch["relation"], "int32")
        gold = _classification.one_hot(head, arcs.shape[-1])  # (B, W, W + 1)
        counted = head >= 0
        if not self.leaky:
            # Neither words that were cut off nor those below them count.
            present = ops.cast(_candidates(_starts(batch)), "float32")
            above = ops.einsum("bwh,bh->bw", gold, present)
            counted = counted & (above > 0) & (present[:, 1:] > 0)
        counted = ops.cast(counted, "float32")
        if batch.get("weight") is not None:
            counted = counted * ops.cast(batch["weight"], "float32")[:, None]
        arc_error, arc_right = _classification.cross_entropy(arcs, head)
        # Relations are scored at the true head (PIXEL).
        at_gold = ops.einsum("bwh,bwhr->bwr", gold, relations)
        error, right = _classification.cross_entropy(at_gold, relation)
        error = error * ops.cast(relation >= 0, "float32")
        count = ops.sum(counted)
        numerators = {
            "loss": ops.sum((arc_error + error) * counted),
            "uas": ops.sum(arc_right * counted),
            "las": ops.sum(arc_right * right * counted),
        }
        return numerators, dict.fromkeys(numerators, count)

    def serve_shapes(self):
        pairs = (None, None, None)
        return {
            "arc_logits": pairs,
            "relation_logits": (*pairs, self.num_classes),
        }

    def inputs_of_words(self, drawn):
        most = max(len(starts) - 1 for starts in drawn.word_starts)
        bucket = next((b for b in _WORD_BUCKETS if b >= most), most)
        starts = _words.starts_array(drawn.word_starts, bucket)
        return {"word_starts": starts}

    def parse(
        self,
        sentences,
        renderer,
        *,
        decode="argmax",
        batch_size=64,
        buckets=None,
        progress=None,
        compiled=False,
    ):
        """Draws sentences and finds the head of each word.

        Args:
            sentences: list of lists of words, or one list of words.
            renderer: `pixmodels.renderers.CairoRenderer` with the backbone's
                patch size.
            decode: "argmax", the likeliest head of each word by itself, as
                PIXEL; or "tree", the likeliest tree with one root
                (Chu-Liu/Edmonds, by `tensorflow_text`).
            batch_size, buckets, progress, compiled: as
                `TextClassifier.predict_texts`.

        Returns:
            list of `DependencyTree`; one for a single list of words. Words
            that were cut off have neither head nor relation (a UserWarning
            names the sentences).

        Raises:
            TypeError: for sentences that are not lists of words.
            ValueError: for a renderer with another patch size, or another
                word for `decode`.
        """
        _classification.check_choice("decode", decode, ("argmax", "tree"))
        sentences, single = _words.sentences(sentences)
        answers = [None] * len(sentences)
        for indices, drawn, outputs in _reading.read(
            self,
            sentences,
            renderer,
            batch_size=batch_size,
            buckets=buckets,
            progress=progress,
            compiled=compiled,
        ):
            counts = [len(starts) - 1 for starts in drawn.word_starts]
            arcs = outputs["arc_logits"]
            heads, chances = _trees.decode(arcs, counts, decode)
            for row, index in enumerate(indices):
                answers[index] = self._tree(
                    sentences[index],
                    heads[row],
                    chances[row],
                    outputs["relation_logits"][row],
                )
        return answers[0] if single else answers

    def _tree(self, words, heads, chances, relation_logits):
        names = self.labels or tuple(map(str, range(self.num_classes)))
        at_head = relation_logits[np.arange(len(heads)), heads]
        relations = [names[i] for i in at_head.argmax(axis=-1)]
        cut = (None,) * (len(words) - len(heads))
        return DependencyTree(
            tuple(words),
            (*map(int, heads), *cut),
            (*relations, *cut),
            (*map(float, chances), *cut),
        )

    def batch_spec(self, batch_size, length=None, num_words=None):
        """Shapes and dtypes of a training batch.

        Args:
            batch_size: B.
            length: N, patches; all of the backbone's `image_shape` if None.
            num_words: W; N - 1 by default, the most that there can be.

        Returns:
            dict name -> (shape, dtype).
        """
        spec = super().batch_spec(batch_size, length)
        words = num_words or self.length_of(length) - 1
        return {
            "pixels": spec["pixels"],
            "num_patches": spec["num_patches"],
            "word_starts": ((batch_size, words + 1), "int32"),
            "head": ((batch_size, words), "int32"),
            "relation": ((batch_size, words), "int32"),
            **example_specs(batch_size),
        }


def _starts(inputs):
    starts = inputs.get("word_starts")
    if starts is None or len(starts.shape) != 2:
        found = None if starts is None else tuple(starts.shape)
        raise ValueError(
            "Expected inputs with 'word_starts' of shape (B, W + 1). "
            f"Received: word_starts of shape {found}."
        )
    return ops.cast(starts, "int32")


def _present(starts):
    """(B, W) bool: whether there is such a word."""
    return (starts[:, :-1] >= 0) & (starts[:, 1:] > starts[:, :-1])


def _candidates(starts):
    """(B, W + 1) bool: what may be a head, the root first."""
    present = _present(starts)
    return ops.concatenate([ops.ones_like(present[:, :1]), present], axis=1)


def _mean_of_words(x, starts):
    """(B, N, D) patches -> (B, W, D) words, zeros where there is none."""
    place = ops.arange(ops.shape(x)[1], dtype="int32")[None, None]
    first, end = starts[:, :-1, None], starts[:, 1:, None]
    inside = (place >= first) & (place < end) & _present(starts)[..., None]
    inside = ops.cast(inside, "float32")  # (B, W, N)
    count = ops.maximum(ops.sum(inside, axis=-1, keepdims=True), 1.0)
    total = ops.matmul(inside, ops.cast(x, "float32"))
    return ops.cast(total / count, x.dtype)
