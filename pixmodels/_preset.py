"""What every registered backbone and task can do with weights.

Here: the methods; `_registry` gives them to each class. The work is done in
`pixmodels.presets`, `_lora` and `_quantized`, loaded when one is called."""


class Preset:
    """Presets, `to_hf`, `enable_lora` and `quantize` of a model."""

    @classmethod
    def from_preset(cls, path, **options):
        """This kind of model from a preset.

        A backbone is taken out of a larger model; a head or a masked
        autoencoder that the preset does not hold is made new on the preset's
        backbone. Arguments, formats and errors: `pixmodels.from_preset`.

        Raises:
            ValueError: if the preset holds another architecture.
        """
        from pixmodels.presets.from_preset import from_preset

        return from_preset(path, cls, **options)

    def save_to_preset(self, folder, **options):
        """Writes a folder; see `pixmodels.presets.save_to_preset`."""
        from pixmodels.presets.save_to_preset import save_to_preset

        save_to_preset(self, folder, **options)

    def to_hf(self, folder, **options):
        """Writes a folder for transformers; see `pixmodels.presets.to_hf`."""
        from pixmodels.presets.to_hf import to_hf

        to_hf(self, folder, **options)

    def enable_lora(self, rank, *, alpha=None, targets=("query", "value")):
        """Trains low-rank additions to kernels in place of the backbone.

        The kernel of each target becomes W + (alpha / rank) A B with W fixed;
        A (in, rank) and B (rank, out) are trained, and B begins as zero. All
        else in the backbone is fixed; what stands around it (a head, a
        decoder) stays as it is. Saving adds A B into the kernels: what is
        loaded is a plain model with the same outputs. Compile after this.
        Source: Hu et al. 2021, "LoRA", eq. 3, which starts A from a normal
        distribution; here it is keras' "he_uniform".

        Args:
            rank: int >= 1.
            alpha: float; `rank` if None, so that the factor is 1.
            targets: names of Dense layers of the backbone: "query", "key",
                "value", "output", "dense_1", "dense_2", "projection".

        Raises:
            ValueError: for a rank below 1, a name that no layer has, a frozen
                backbone, or a model that has LoRA weights already.
        """
        from pixmodels import _lora
        from pixmodels.presets._resize import backbone_of

        _lora.enable(self, backbone_of(self)[1], rank, alpha, targets)

    def quantize(self, *args, **options):
        """As `keras.Model.quantize`, several times quicker.

        It collects garbage for each weight that it replaces; here these
        collections pass over what was there before.
        """
        import keras

        from pixmodels import _quantized

        with _quantized.quick_collections():
            keras.Model.quantize(self, *args, **options)
