"""Sizes of models that a few cores train, shared by recipes; nothing else."""

# Arguments of a `ModelConfig`: a masked autoencoder of 1.1 M parameters.
TINY = {
    "num_layers": 4,
    "num_heads": 4,
    "hidden_dim": 128,
    "mlp_dim": 512,
    "decoder_num_layers": 2,
    "decoder_num_heads": 4,
    "decoder_hidden_dim": 96,
    "decoder_mlp_dim": 384,
    "dropout_rate": 0.0,
    "attention_dropout": 0.0,
}
