import itertools
import re
from xml.etree import ElementTree

import heads
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pixmodels.renderers import CairoRenderer
from pixmodels.tasks import DependencyParser
from pixmodels.tasks import DependencyTree
from pixmodels.tasks import RenderedWordSource
from pixmodels.tasks import _trees

KEY = np.array([3, 5], "int32")
LABELS = ("root", "nsubj", "obj", "det", "case")


def _model(length=23, side=16, **options):
    keras.utils.set_random_seed(3)
    backbone = heads.backbone(length, side=side, num_layers=1)
    model = DependencyParser(backbone, 5, labels=LABELS, **options)
    return heads.randomise(model)


def _batch():
    batch = heads.batch()
    batch["word_starts"] = np.array(
        [[0, 1, -1, -1], [0, 2, 3, 4], [0, 3, 6, -1], [0, 4, 7, 10]], "int32"
    )
    batch["head"] = np.array(
        [[0, -1, -1], [2, 0, 2], [0, 1, 1], [0, 1, 2]], "int32"
    )
    batch["relation"] = np.array(
        [[0, 3, 3], [1, 0, -1], [0, 2, 4], [0, 1, 2]], "int32"
    )
    return batch


def test_call_by_hand():
    """Means of patches, the root, both biaffine forms, one pair at a time."""
    model, batch = _model(heads.LENGTH, heads.SIDE), _batch()
    outputs = heads.arrays(model(batch))
    sequence, _ = model.encode(batch, False)
    x = heads.arrays(sequence).astype("float64")
    dense = model.head_root
    kernel, bias = (heads.arrays(w) for w in (dense.kernel, dense.bias))
    arcs = heads.arrays(model.head_arcs.kernel)[0]
    relations = heads.arrays(model.head_relations.kernel)
    for b, starts in enumerate(batch["word_starts"]):
        starts = starts[starts >= 0]
        words = [
            x[b, 1 + start : 1 + end].mean(axis=0)
            for start, end in itertools.pairwise(starts)
        ]
        candidates = [np.tanh(x[b, 0] @ kernel + bias), *words]
        for i, word in enumerate(words):
            for j, head in enumerate(candidates):
                assert outputs["arc_logits"][b, i, j] == pytest.approx(
                    np.append(word, 1) @ arcs @ head, abs=1e-5
                )
                np.testing.assert_allclose(
                    outputs["relation_logits"][b, i, j],
                    np.append(word, 1) @ relations @ np.append(head, 1),
                    rtol=0,
                    atol=1e-5,
                )
            assert (outputs["arc_logits"][b, i, len(words) + 1 :] == -1e9).all()


def test_loss_sums_by_hand():
    model, batch = _model(heads.LENGTH, heads.SIDE), _batch()
    outputs = heads.arrays(model(batch))
    loss, right, both, count = 0.0, 0, 0, 0
    for b, i in itertools.product(range(3), range(3)):  # example 3: weight 0
        head = batch["head"][b, i]
        if head < 0 or (b, i) == (2, 2):  # there is no third word in example 2
            continue
        z = outputs["arc_logits"][b, i].astype("float64")
        loss += np.log(np.exp(z).sum()) - z[head]
        r = outputs["relation_logits"][b, i, head].astype("float64")
        relation = batch["relation"][b, i]
        if relation >= 0:
            loss += np.log(np.exp(r).sum()) - r[relation]
        right += z.argmax() == head
        both += z.argmax() == head and r.argmax() == relation
        count += 1
    assert count == 6
    numerators, counts = model.loss_sums(batch, KEY, training=False)
    found = {k: float(v) for k, v in numerators.items()}
    assert found == {
        "loss": pytest.approx(loss, rel=1e-5),
        "uas": right,
        "las": both,
    }
    assert {float(v) for v in counts.values()} == {6}


def _brute_force(scores):
    """The best tree with one root over all choices of heads."""
    n = len(scores)
    best = None
    for found in itertools.product(range(n + 1), repeat=n):
        tree = DependencyTree(("x",) * n, found, ("r",) * n, (1.0,) * n)
        if not tree.is_tree():
            continue
        total = sum(scores[i, h] for i, h in enumerate(found))
        if best is None or total > best[0]:
            best = (total, found)
    return best


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_trees_against_all_trees(n, seed):
    scores = np.random.default_rng(seed).normal(size=(n, n + 1))
    # Beside it a longer sentence, and columns that are not there.
    arcs = np.full((2, 7, 8), -1e9)
    arcs[0, :n, : n + 1] = scores
    arcs[1] = np.random.default_rng(seed + 1).normal(size=(7, 8))
    found, chances = _trees.decode(arcs, [n, 7], "tree")
    total = sum(scores[i, h] for i, h in enumerate(found[0]))
    best, expected = _brute_force(scores)
    assert total == pytest.approx(best, abs=1e-5)
    assert tuple(found[0]) == expected
    assert len(found[1]) == len(chances[1]) == 7
    assert all(0 <= c <= 1 for c in chances[0])


def test_argmax_and_probabilities():
    arcs = np.array([[[0.0, 9, 2, -9], [1, 0.5, 7, 3], [0, 0, 0, 0]]])
    found, chances = _trees.decode(arcs, [2], "argmax")
    # Nothing is its own head.
    assert found[0].tolist() == [2, 0]
    expected = [
        np.exp(2) / (1 + np.exp(2)),
        np.exp(1) / (np.exp(1) + np.exp(0.5)),
    ]
    np.testing.assert_allclose(chances[0], expected)
    assert _trees.decode(arcs, [0], "argmax")[0][0].tolist() == []
    assert _trees.decode(arcs, [0], "tree")[0][0].tolist() == []


@pytest.mark.parametrize("decode", ["argmax", "tree"])
def test_parse(decode):
    model, renderer = _model(), CairoRenderer(max_patches=23)
    sentences = [["She", "saw", "the", "cat"], ["Go"], [], ["two", "words"]]
    trees = model.parse(sentences, renderer, decode=decode, batch_size=3)
    assert [list(t.words) for t in trees] == sentences
    drawn = renderer(sentences)
    inputs = {
        "pixels": drawn.pixels,
        "num_patches": drawn.num_patches,
        **model.inputs_of_words(drawn),
    }
    assert inputs["word_starts"].shape == (4, 5)
    outputs = heads.arrays(model(inputs))
    for row, tree in enumerate(trees):
        n = len(tree.words)
        if decode == "tree":
            assert tree.is_tree() or not n
        for i, (head, relation) in enumerate(zip(tree.heads, tree.relations)):
            scores = outputs["arc_logits"][row, i, : n + 1].copy()
            scores[i + 1] = -np.inf
            if decode == "argmax":
                assert head == scores.argmax()
            kinds = outputs["relation_logits"][row, i, head]
            assert relation == LABELS[kinds.argmax()]
    assert model.parse(sentences[0], renderer, decode=decode) == trees[0]
    with pytest.raises(ValueError, match="decode='best'"):
        model.parse(sentences, renderer, decode="best")


def test_words_that_were_cut_have_no_head():
    model, renderer = _model(7), CairoRenderer(max_patches=23)
    with pytest.warns(UserWarning, match=r"Texts \[0\] are longer"):
        tree = model.parse(["word"] * 9, renderer)
    assert len(tree.heads) == len(tree.relations) == 9
    assert tree.heads[-1] is tree.relations[-1] is None
    assert not tree.is_tree()
    assert "(word 9, not read)" in str(tree)


def test_bad_arguments():
    backbone = heads.backbone()
    with pytest.raises(ValueError, match="num_classes=1"):
        DependencyParser(backbone, 1)
    model, batch = _model(heads.LENGTH, heads.SIDE), _batch()
    with pytest.raises(ValueError, match="word_starts of shape None"):
        model({k: batch[k] for k in ("pixels", "num_patches")})
    with pytest.raises(ValueError, match=r"word_starts of shape \(4,\)"):
        model({**batch, "word_starts": batch["word_starts"][:, 0]})


def test_learns_from_a_source():
    keras.utils.set_random_seed(3)
    backbone = heads.backbone(17, side=16, num_layers=1, pixel_offset=1.0)
    model = DependencyParser(backbone, 3, dropout_rate=0.0)
    renderer = CairoRenderer(max_patches=17)
    rng = np.random.default_rng(5)
    sentences, arcs, relations = [], [], []
    for _ in range(23):  # a verb with its nouns before and behind it
        before, behind = (int(n) for n in rng.integers(0, 3, 2))
        names = [str(x) for x in rng.choice(["cat", "owl"], before + behind)]
        sentences.append([*names[:before], "saw", *names[before:]])
        verb = before + 1
        arcs.append([verb] * before + [0] + [verb] * behind)
        relations.append([1] * before + [0] + [2] * behind)
    source = RenderedWordSource(
        sentences, renderer, heads=arcs, relations=relations
    )
    batch = source.get_batch(np.arange(23), length=17)
    model.compile(optimizer=keras.optimizers.Adam(0.02), jit_compile=False)
    model.fit(batch, epochs=40, batch_size=23, verbose=0)
    numerators, counts = model.loss_sums(batch, KEY, training=False)
    assert float(numerators["uas"]) / float(counts["uas"]) > 0.9
    tree = model.parse(["cat", "saw", "owl"], renderer, decode="tree")
    assert tree.heads == (2, 0, 2)


def _tree(*arcs):
    return DependencyTree(
        tuple("She saw the <cat> today".split()),
        arcs,
        ("nsubj", "root", "det", "obj", "advmod"),
        (1.0,) * 5,
    )


def test_tree_as_text():
    assert str(_tree(2, 0, 4, 2, 2)).splitlines() == [
        "saw  root",
        "├── She  nsubj",
        "├── <cat>  obj",
        "│   └── the  det",
        "└── today  advmod",
    ]
    assert _tree(2, 0, 4, 2, 2).is_tree()
    # A cycle, which likeliest heads may form.
    assert str(_tree(2, 0, 4, 3, 2)).splitlines() == [
        "saw  root",
        "├── She  nsubj",
        "└── today  advmod",
        "the  det  (word 3, head 4)",
        "<cat>  obj  (word 4, head 3)",
    ]
    assert not _tree(2, 0, 4, 3, 2).is_tree()
    assert not _tree(0, 0, 4, 2, 2).is_tree()


def test_tree_as_conllu():
    rows = [
        line.split("\t")
        for line in _tree(2, 0, 4, 2, 2).to_conllu().split("\n")
    ]
    assert rows.pop() == [""]
    assert all(len(row) == 10 for row in rows)
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert [row[6] for row in rows] == ["2", "0", "4", "2", "2"]
    assert rows[3][1] == "<cat>"
    assert rows[3][7] == "obj"


def test_tree_as_svg():
    svg = _tree(2, 0, 4, 2, 2).to_svg()
    root = ElementTree.fromstring(svg)
    at = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{at}text")]
    assert sorted(texts) == sorted(
        "She saw the <cat> today nsubj root det obj advmod".split()
    )
    assert len(re.findall("<path", svg)) == 10  # an arc and a tip each
    empty = DependencyTree((), (), (), ())
    assert ElementTree.fromstring(empty.to_svg()) is not None
    assert str(empty) == ""
