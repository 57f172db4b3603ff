"""One mixer's layer, forward and backward, as an engine of `_step_worker`.

Here: ours, and the same mechanism of packages for torch. Not here: which
sizes, who is compared (_peer_benchmark.py)."""

import numpy as np


def _ours(spec):
    """The quicker of graph and XLA."""
    from pixmodels.training import _step_worker

    _step_worker.load_tensorflow(spec["threads"])
    from pixmodels.training import _attention_benchmark
    from pixmodels.training import benchmarks

    def make(jit_compile):
        return _attention_benchmark.caller(
            spec["mixer"],
            "layer+gradients",
            spec["length"],
            spec["shape"],
            jit_compile,
            spec["options"],
        )

    call, _ = benchmarks.quicker(make, 2)

    def step():
        call()
        return 0.0

    return step


def _peer(spec):
    import torch

    torch.set_num_threads(spec["threads"])
    torch.manual_seed(0)
    batch, heads, head_dim = spec["shape"]
    size = (batch, spec["length"], heads * head_dim)
    module = _MODULES[spec["mixer"]](
        size[1], size[2], heads, head_dim, spec["options"]
    )
    module.train()
    x = torch.from_numpy(
        np.random.default_rng(0).normal(size=size).astype(np.float32)
    ).requires_grad_()

    def step():
        x.grad = None
        module.zero_grad()
        result = module(x)
        (0.5 * result.square().sum()).backward()
        return 0.0

    return step


# --- The packages' layers ---------------------------------------------------
# (N, D, A, E, our options) -> torch module: (B, N, D) -> (B, N, D)


def _softmax(length, width, heads, head_dim, options):
    import torch

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = torch.nn.MultiheadAttention(
                width, heads, batch_first=True
            )

        def forward(self, x):
            return self.inner(x, x, x, need_weights=False)[0]

    return Attention()


def _performer(length, width, heads, head_dim, options):
    import performer_pytorch

    return performer_pytorch.SelfAttention(
        width, heads=heads, dim_head=head_dim, qkv_bias=True
    )


def _linformer(length, width, heads, head_dim, options):
    import linformer

    return linformer.LinformerSelfAttention(
        width, length, k=options["rank"], heads=heads, dim_head=head_dim
    )


def _sliding_window(length, width, heads, head_dim, options):
    from local_attention.transformer import LocalMHA

    return LocalMHA(
        dim=width,
        window_size=options["window"],
        heads=heads,
        dim_head=head_dim,
        causal=False,
        exact_windowsize=True,
        use_rotary_pos_emb=False,
    )


def _local(length, width, heads, head_dim, options):
    from local_attention.transformer import LocalMHA

    return LocalMHA(
        dim=width,
        window_size=options["window"],
        heads=heads,
        dim_head=head_dim,
        causal=False,
        look_backward=0,
        look_forward=0,
        use_rotary_pos_emb=False,
    )


def _sinkhorn(length, width, heads, head_dim, options):
    from sinkhorn_transformer.sinkhorn_transformer import SinkhornSelfAttention

    return SinkhornSelfAttention(
        width,
        bucket_size=options["block"],
        sinkhorn_iter=options["iterations"],
        max_seq_len=length,
        heads=heads,
        dim_head=head_dim,
    )


def _reformer(length, width, heads, head_dim, options):
    import reformer_pytorch

    return reformer_pytorch.LSHSelfAttention(
        width,
        heads=heads,
        dim_head=head_dim,
        bucket_size=options["chunk"],
        n_hashes=options["num_hashes"],
    )


def _nystrom(length, width, heads, head_dim, options):
    import nystrom_attention

    return nystrom_attention.NystromAttention(
        width,
        dim_head=head_dim,
        heads=heads,
        num_landmarks=options["num_landmarks"],
        residual=False,
    )


def _linear(length, width, heads, head_dim, options):
    from linear_attention_transformer import linear_attention_transformer

    return linear_attention_transformer.SelfAttention(
        width, heads, dim_head=head_dim
    )


def _longformer(length, width, heads, head_dim, options):
    import torch
    from transformers import LongformerConfig
    from transformers.models.longformer import modeling_longformer

    config = LongformerConfig(
        hidden_size=width,
        num_attention_heads=heads,
        attention_window=[2 * options["window"]],
        attention_probs_dropout_prob=0.0,
    )

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = modeling_longformer.LongformerSelfAttention(config, 0)
            self.output = torch.nn.Linear(width, width)

        def forward(self, x):
            mask = torch.zeros(x.shape[:2])  # all attend locally
            found = self.inner(
                x,
                attention_mask=mask,
                is_index_masked=mask < 0,
                is_index_global_attn=mask > 0,
                is_global_attn=False,
            )
            return self.output(found[0])

    return Attention()


def _bigbird(length, width, heads, head_dim, options):
    import torch
    from transformers import BigBirdConfig
    from transformers.models.big_bird import modeling_big_bird

    config = BigBirdConfig(
        hidden_size=width,
        num_attention_heads=heads,
        block_size=options["block"],
        num_random_blocks=options["num_random"],
        max_position_embeddings=length,
        attention_probs_dropout_prob=0.0,
    )

    class Attention(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = modeling_big_bird.BigBirdBlockSparseAttention(
                config, seed=0
            )
            self.output = torch.nn.Linear(width, width)

        def forward(self, x):
            mask = torch.ones(x.shape[:2])
            masks = modeling_big_bird.BigBirdModel
            found = masks.create_masks_for_block_sparse_attn(
                mask, config.block_size
            )
            blocked, band, start, end = found
            found = self.inner(
                x,
                band_mask=band,
                from_mask=start,
                to_mask=end,
                from_blocked_mask=blocked,
                to_blocked_mask=blocked,
            )
            return self.output(found[0])

    return Attention()


_MODULES = {
    "softmax": _softmax,
    "local": _local,
    "sliding_window": _sliding_window,
    "linear": _linear,
    "performer": _performer,
    "linformer": _linformer,
    "nystrom": _nystrom,
    "sinkhorn": _sinkhorn,
    "reformer": _reformer,
    "longformer": _longformer,
    "bigbird": _bigbird,
}
ENGINES = {"mixer": _ours, "peer-mixer": _peer}
