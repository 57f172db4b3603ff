"""What may look on while a model is trained, in the chief process alone.

Here: the methods that an observer may have, and the list of those that a
config asks for. Not here: what they do (`_run_state`, `_curves`,
`_run_pictures`, `_tensorboard`).
"""


class Observer:
    """Base of what looks on; every method may be left as it is.

    Observers run in the loop, between steps: what takes long makes training
    wait, and what they raise ends it. They must not change the model.
    """

    def on_start(self, trainer):
        """Training begins or goes on.

        Args:
            trainer: the `Trainer`; its `history` holds the lines up to its
                `step`, and nothing from after it.
        """

    def on_step(self, step):
        """`step` updates are done, and logged and saved where due."""

    def on_log(self, line):
        """Averages of a log interval: a dict, as in `metrics.jsonl`."""

    def on_evaluation(self, line):
        """An evaluation: a dict, as in `metrics.jsonl`."""

    def on_picture(self, step, path):
        """A picture of what the model does has been written to `path`."""

    def on_end(self, result):
        """Training ends.

        Args:
            result: `TrainResult`, or None if an error ends it.
        """


class Observers:
    """Tells several observers, in their order."""

    def __init__(self, observers=()):
        self._observers = list(observers)

    def tell(self, method, *args):
        """Calls a method of each."""
        for observer in self._observers:
            getattr(observer, method)(*args)


def standard(config):
    """The observers that a `TrainConfig` asks for: a list."""
    from pixmodels.training import _curves
    from pixmodels.training import _run_pictures
    from pixmodels.training import _run_state
    from pixmodels.training import _tensorboard

    found = [_run_state.RunState()]
    if config.tensorboard:
        found.append(_tensorboard.TensorBoard())
    if config.curves:
        found.append(_curves.Curves())
    if config.picture_every is not None:
        # First, so that the others are told of the last picture before they
        # are told of the end.
        found.insert(0, _run_pictures.Pictures(config.picture_every))
    return found
