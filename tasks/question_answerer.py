import numpy as np
from keras import ops

from pixmodels import patches
from pixmodels._registry import TASKS
from pixmodels.tasks import _classification
from pixmodels.tasks import _reading
from pixmodels.tasks import _spans
from pixmodels.tasks.task import check_class_token
from pixmodels.tasks.task import prefix_of
from pixmodels.tasks.text_task import TextTask

_ABSENT_LOGIT = -1e9
# PIXEL's windows: 400 patches, 160 shared, 128 for the question.
_SHARED, _QUESTION = 0.4, 0.32


@TASKS.register("question_answerer")
class QuestionAnswerer(TextTask):
    """The patches of a drawn context that answer a question.

    A dense layer gives each patch a logit for the start and one for the end
    of the answer; the class token, moved to the end, stands for "no answer".

    Source: xplip/pixel `modeling_pixel.py` (PIXELForQuestionAnswering).
    Difference: padding is no candidate (PIXEL leaves it in the softmax;
    `leaky=True` does).

    Args:
        backbone: a `PIXELBackbone`, or any encoder with a class token that
            takes `mask`.
        leaky: whether padding takes part in the softmax, as in PIXEL. Windows
            are then read at the full length of the backbone.

    Call arguments:
        inputs: dict with `pixels` and `num_patches` as `TextClassifier`. A
            training batch has `start` and `end` (B,) int32, the first and the
            last patch of the answer; -1 or N is no answer, more is ignored
            (PIXEL's N and N + 1).
        training: bool.

    Returns:
        dict of float32, under any dtype policy: `start_logits` and
        `end_logits`, (B, N + 1), no answer last, -1e9 for padding.

    Raises:
        TypeError: for a backbone that is none.
        ValueError: for a backbone without class token; in a call, as
            `TextClassifier`.

    Example:
        >>> backbone = pixmodels.PIXELBackbone(
        ...     (16, 16 * 23, 1), num_layers=1, num_heads=2, hidden_dim=8,
        ...     mlp_dim=16)
        >>> model = pixmodels.tasks.QuestionAnswerer(backbone)
        >>> renderer = pixmodels.renderers.CairoRenderer()
        >>> context = "It was the owl and the cat."
        >>> best = model.answer("Who?", context, renderer)[0]
        >>> best.text == context[best.start:best.end]
        True
    """

    small_options = {}
    config_names = "leaky"

    def __init__(self, backbone, *, leaky=False, **kwargs):
        super().__init__(backbone, **kwargs)
        check_class_token(backbone, '"no answer"')
        self.leaky = leaky
        self.head_logits = _classification.dense(
            2, "head_logits", self.dtype_policy
        )
        self.build(None)

    def build(self, input_shape=None):
        if self.built:
            return
        self.head_logits.build((None, None, self.backbone.hidden_dim))
        self.built = True

    def call(self, inputs, training=None):
        sequence, mask = self.encode(inputs, training)
        prefix = prefix_of(self.backbone)
        x = ops.concatenate([sequence[:, prefix:], sequence[:, :1]], axis=1)
        logits = ops.cast(self.head_logits(x), "float32")
        if mask is not None and not self.leaky:
            real = ops.ones_like(mask[:, :1])
            mask = ops.concatenate([mask, real], axis=1)
            logits = ops.where(mask[..., None], logits, _ABSENT_LOGIT)
        return {"start_logits": logits[..., 0], "end_logits": logits[..., 1]}

    def sums(self, outputs, batch):
        weight = batch.get("weight")
        loss, count, right = 0.0, 0.0, 1.0
        for name in ("start", "end"):
            logits = outputs[f"{name}_logits"]
            none = logits.shape[1] - 1
            label = ops.cast(batch[name], "int32")
            label = ops.where(label < 0, none, label)
            counted = ops.cast(label <= none, "float32")
            if weight is not None:
                counted = counted * ops.cast(weight, "float32")
            error, correct = _classification.cross_entropy(logits, label)
            loss = loss + ops.sum(error * counted) / 2.0
            count = count + ops.sum(counted) / 2.0
            right = right * correct * counted
        numerators = {"loss": loss, "exact": ops.sum(right)}
        return numerators, {"loss": count, "exact": count}

    def serve_shapes(self):
        return {"start_logits": (None, None), "end_logits": (None, None)}

    def depends_on_padding(self):
        if self.leaky:
            return "a softmax with leaky=True sees the padding"
        return super().depends_on_padding()

    def answer(
        self,
        question,
        context,
        renderer,
        *,
        num_best=1,
        null_threshold=None,
        max_answer_patches=30,
        whole_words=False,
        num_patches=None,
        stride=None,
        question_patches=None,
        batch_size=32,
        buckets=None,
        progress=None,
        compiled=False,
    ):
        """Finds the answer to a question in a context of any length.

        The context is drawn in overlapping windows with the question in
        front; all spans of all windows compete. A span's score is the sum of
        its two logits, that of no answer the least over the windows (Devlin
        et al. 2019, section 4.3).

        Args:
            question, context: str, or lists of str of the same length.
            renderer: `pixmodels.renderers.CairoRenderer` with the backbone's
                patch size.
            num_best: answers to give.
            null_threshold: None: there always is an answer. A float: no
                answer wins where its score is more than this above the best
                answer's.
            max_answer_patches: longest answer in patches.
            whole_words: whether an answer that cuts through words is made of
                those words of which it has more than half the letters. PIXEL
                leaves them cut.
            num_patches, stride, question_patches: of windows, see
                `CairoRenderer.windows`; by default the backbone's length, 40 %
                and 32 % of that (PIXEL).
            batch_size: windows that are read at once.
            buckets, progress, compiled: as `TextClassifier.predict_texts`.

        Returns:
            list of up to `num_best` `Answer`, the best first; a list of such
            lists for lists of questions.

        Raises:
            ValueError: for lists of different lengths, a renderer with
                another patch size, or sizes out of range.
        """
        single = isinstance(question, str)
        pairs = _pairs(question, context)
        finder = _spans.Finder(
            pairs, num_best, null_threshold, max_answer_patches, whole_words
        )
        _reading.check_renderer(self, renderer)
        buckets = _reading.padding_buckets(self, buckets)
        most = min(num_patches or self.length_of(), renderer.max_patches)
        if pairs:
            drawn = renderer.windows(
                pairs,
                num_patches=most,
                stride=int(_SHARED * most) if stride is None else stride,
                question_patches=question_patches or int(_QUESTION * most),
            )
            self._read_windows(
                drawn, finder, buckets, batch_size, progress, compiled
            )
        answers = finder.answers()
        return answers[0] if single else answers

    def _read_windows(
        self, drawn, finder, buckets, batch_size, progress, compiled
    ):
        full = self.depends_on_padding() is not None
        length = self.length_of() if full else drawn.grid[1]
        everything = _reading.inputs_of(self, drawn, length)
        # Windows of like length stand together.
        order = np.argsort(-drawn.num_patches, kind="stable")
        batches = [
            order[start : start + batch_size]
            for start in range(0, len(order), batch_size)
        ]
        done = 0
        with _reading.display(progress, len(order), len(batches)) as show:
            for rows in batches:
                inputs = {k: array[rows] for k, array in everything.items()}
                if not full:
                    inputs = patches.trim(
                        inputs, self.backbone.patch_size, buckets=buckets
                    )
                outputs = _reading.run(
                    self, inputs, batch_size if compiled else None
                )
                for place, window in enumerate(rows):
                    finder.add(
                        drawn,
                        int(window),
                        outputs["start_logits"][place],
                        outputs["end_logits"][place],
                    )
                done += len(rows)
                show(done, len(order))

    def batch_spec(self, batch_size, length=None):
        spec = super().batch_spec(batch_size, length)
        del spec["label"]
        label = ((batch_size,), "int32")
        return {**spec, "start": label, "end": label}


def _pairs(questions, contexts):
    if isinstance(questions, str) != isinstance(contexts, str):
        raise TypeError(
            "Expected a question and a context, or lists of both. Received: "
            f"question of type {type(questions).__name__}, context of type "
            f"{type(contexts).__name__}."
        )
    if isinstance(questions, str):
        return [(questions, contexts)]
    if len(questions) != len(contexts):
        raise ValueError(
            "Expected a context for each question. Received: "
            f"{len(questions)} questions, {len(contexts)} contexts."
        )
    return list(zip(questions, contexts))
