"""`explain`, `plot_pattern` and what every mixer refuses."""

import sys

import numpy as np
import pytest
from keras import ops

from pixmodels import attention


def test_explain():
    layer = attention.get("sliding_window")(2, window=1)
    text = layer.explain(7, prefix=1)
    # 7 + 6 pairs with the prefix token, 3 * 6 - 2 in the band.
    assert "Pairs at N = 7: 29 of 49 (59.18%), 4.1 a token." in text
    assert text.startswith("SlidingWindowAttention: Softmax attention to the")
    assert "Not causal; causal=True makes it so." in text
    assert "Cost in the length N: O(N w)." in text
    causal = attention.get("local")(2, window=5000, causal=True)
    text = causal.explain(100_000)
    assert f"Pairs at N = 4,096: {4096 * 4097 // 2:,} of {4096**2:,}" in text
    assert "Causal: " in text
    text = attention.get("linformer")(2, rank=3, max_length=17).explain(13)
    assert "depend on the content" in text
    assert "it has no causal form" in text
    assert "Longest sequence: 17 tokens." in text


def _image(figure):
    (ax,) = figure.axes
    return np.asarray(ax.images[0].get_array())


@pytest.mark.parametrize("causal", [False, True])
def test_a_fixed_pattern_is_drawn_as_it_is(causal, tmp_path):
    layer = attention.get("local")(2, window=3, causal=causal)
    figure = layer.plot_pattern(11, prefix=2)
    drawn = _image(figure)
    np.testing.assert_array_equal(drawn, layer.dense_mask(11, 2))
    assert not layer.built
    figure.savefig(tmp_path / "pattern.png")
    assert (tmp_path / "pattern.png").stat().st_size > 1000
    places = [0, 2, 3, 5, 6]
    again = layer.plot_pattern(5, positions=places, ax=figure.axes[0])
    assert again is figure
    drawn = np.asarray(figure.axes[0].images[1].get_array())
    np.testing.assert_array_equal(drawn, layer.dense_mask(5, 0, places))


def test_what_the_content_decides_is_drawn_from_an_example():
    layer = attention.get("linear")(2, causal=True)
    drawn = _image(layer.plot_pattern(13))
    np.testing.assert_array_equal(drawn > 0, np.tri(13, dtype=bool))
    assert not layer.built
    softmax = attention.get("softmax")(2)
    x = np.random.default_rng(3).normal(size=(7, 12)).astype("float32")
    softmax.plot_pattern(7, x=x)
    assert not softmax.built
    softmax.build((None, 7, 12))
    drawn = _image(softmax.plot_pattern(7, x=x))
    shares = ops.stop_gradient(softmax.attention_map(x[None]))
    shares = ops.convert_to_numpy(shares)[0].mean(axis=0)
    shares /= shares.max(axis=1, keepdims=True)
    np.testing.assert_allclose(drawn, np.sqrt(shares), atol=1e-5)


def test_what_cannot_be_drawn_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="Received: FNetMixer"):
        attention.get("fnet")(2).plot_pattern(7)
    with pytest.raises(ValueError, match=r"x of shape \(7, D\)"):
        attention.get("softmax")(2).plot_pattern(7, x=np.ones((5, 8)))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install pixmodels\[plots\]"):
        attention.get("softmax")(2).plot_pattern(7)


@pytest.mark.parametrize("name", attention.names())
def test_masks_and_positions_of_another_kind_are_refused(name):
    cls = attention.get(name)
    layer = cls(3, **cls.small_options)
    x = np.ones((2, 7, 15), "float32")
    for dtype in ("int32", "float32", "uint8"):
        with pytest.raises(ValueError, match=rf"mask\.dtype={dtype}"):
            layer(x, mask=np.ones((2, 7), dtype))
    for shape in ((2, 5), (3, 7), (2, 7, 7), (7,)):
        with pytest.raises(ValueError, match=r"Expected mask of shape \(B, 7"):
            layer(x, mask=np.ones(shape, bool))
    with pytest.raises(ValueError, match=r"positions of shape \(B, 6\)"):
        layer(x, positions=np.zeros((2, 7), "int32"), prefix=1)
    ours = cls.__module__.startswith("pixmodels.sequence")
    if name in ("fnet", "wide") or ours:  # no heads, or any number of them
        return
    with pytest.raises(ValueError, match=r"num_heads=3.*16\)"):
        cls(3, **cls.small_options).build((None, 7, 16))
