"""What every registered backbone and task can do with presets.

Here: the methods; `_registry` gives them to each class. The work is done in
`pixmodels.presets`, which is loaded when one of them is called."""


class Preset:
    """`from_preset`, `save_to_preset` and `to_hf` of a model class."""

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
