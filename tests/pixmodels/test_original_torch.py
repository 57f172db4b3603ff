"""Beside the original PyTorch code, on random weights: `make test-parity`."""

import numpy as np
import pytest
from keras import ops

from pixmodels import attention


@pytest.mark.parity
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("causal", [False, True])
def test_softmax_equals_multihead_attention(causal, masked):
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    width, heads, length = 21, 3, 13
    original = torch.nn.MultiheadAttention(width, heads, batch_first=True)
    for parameter in original.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    layer = attention.get("softmax")(heads, causal=causal)
    layer.build((None, None, width))
    kernels = original.in_proj_weight.detach().numpy()
    biases = original.in_proj_bias.detach().numpy()
    for i, part in enumerate((layer.query, layer.key, layer.value)):
        rows = slice(i * width, (i + 1) * width)
        part.kernel.assign(kernels[rows].T)
        part.bias.assign(biases[rows])
    out = original.out_proj
    layer.output_dense.kernel.assign(out.weight.detach().numpy().T)
    layer.output_dense.bias.assign(out.bias.detach().numpy())
    rng = np.random.default_rng(5)
    x = rng.normal(size=(2, length, width)).astype("float32")
    mask = np.ones((2, length), bool)
    if masked:
        mask[0, 7:] = False
        mask[1, 11:] = False
    future = np.triu(np.ones((length, length), bool), 1)
    with torch.no_grad():
        expected, _ = original(
            *[torch.from_numpy(x)] * 3,
            key_padding_mask=torch.from_numpy(~mask),
            attn_mask=torch.from_numpy(future) if causal else None,
        )
    ours = ops.convert_to_numpy(layer(x, mask=mask))
    np.testing.assert_allclose(ours, expected.numpy(), rtol=0, atol=1e-5)
