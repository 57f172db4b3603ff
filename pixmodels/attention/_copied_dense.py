"""A dense layer that files may lack, because it begins as another's copy.

Here: the layer and what loaders ask of a model. Not here: the loaders."""

import keras


@keras.saving.register_keras_serializable(package="pixmodels")
class CopiedDense(keras.layers.Dense):
    """Takes the weights of another layer where a file has none for it.

    `copied_from` (a `Dense` of the same shape) is set by the layer that owns
    both. It must be loaded first: keras walks through layers by the names of
    their attributes, so this one's name has to come later in the alphabet.
    """

    copied_from = None

    def copy(self):
        """Takes the weights of the other layer."""
        source = self.copied_from()
        for mine, other in zip(self.weights, source.weights, strict=True):
            mine.assign(other.value)

    def quantize(self, mode=None, type_check=True, config=None):
        # keras refuses subclasses, which may compute something else.
        super().quantize(mode, type_check=False, config=config)

    def load_own_variables(self, store):
        if self.copied_from is not None and not store.keys():
            self.copy()
        else:
            super().load_own_variables(store)


def copies(model):
    """The layers in a model that may be absent in a file, a list."""
    layers = model._flatten_layers(include_self=False, recursive=True)
    found = [x for x in layers if isinstance(x, CopiedDense)]
    return [x for x in found if x.copied_from is not None]
