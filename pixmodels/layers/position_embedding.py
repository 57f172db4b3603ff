import keras
from keras import ops

from pixmodels import positions as position_tables

POSITIONS = ("learned", "sincos", "none")


@keras.saving.register_keras_serializable(package="pixmodels")
class PositionEmbedding(keras.layers.Layer):
    """Adds a table of absolute positions to tokens.

    Args:
        grid: (R, C), the grid of the table: R * C rows for patches.
        positions: "learned", "sincos" (`pixmodels.positions.sincos_2d`) or
            "none".
        trainable_positions: whether the table is trained; None means learned
            tables are and sin-cos tables are not.
        prefix: rows in front, for class tokens; zeros in a sin-cos table.

    Call arguments:
        x: (B, prefix + N, D) floating point.
        positions: (B, N) int32 in [0, R * C), places of the tokens after the
            prefix; None means 0 .. N - 1.

    Returns:
        As `x`.

    Raises:
        ValueError: for an unknown kind, or more tokens than the table has
            rows.
    """

    def __init__(
        self,
        grid,
        *,
        positions="learned",
        trainable_positions=None,
        prefix=1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if positions not in POSITIONS:
            raise ValueError(
                f"Expected positions to be one of {POSITIONS}. Received: "
                f"positions={positions!r}."
            )
        self.grid = tuple(grid)
        self.positions = positions
        self.trainable_positions = trainable_positions
        self.prefix = prefix

    def build(self, input_shape):
        if self.positions == "none":
            self.built = True
            return
        trainable = self.trainable_positions
        if trainable is None:
            trainable = self.positions == "learned"

        def sincos(shape, dtype=None):
            table = position_tables.sincos_2d(shape[-1], self.grid, self.prefix)
            return ops.convert_to_tensor(table, dtype)

        normal = keras.initializers.RandomNormal(stddev=0.02)
        self.table = self.add_weight(
            name="table",
            shape=(
                self.prefix + self.grid[0] * self.grid[1],
                input_shape[-1],
            ),
            initializer=sincos if self.positions == "sincos" else normal,
            trainable=trainable,
        )
        self.built = True

    def call(self, x, positions=None):
        if self.positions == "none":
            return x
        table = ops.cast(self.table, x.dtype)
        if positions is None:
            if x.shape[1] is not None and x.shape[1] > self.table.shape[0]:
                raise ValueError(
                    f"Expected at most {self.grid[0] * self.grid[1]} patches, "
                    f"the size of the position table (grid={self.grid}). "
                    f"Received: {x.shape[1] - self.prefix} patches."
                )
            length = x.shape[1] or ops.shape(x)[1]
            return x + table[None, :length]
        rows = ops.take(table, positions + self.prefix, axis=0)
        if not self.prefix:
            return x + rows
        front = x[:, : self.prefix] + table[None, : self.prefix]
        return ops.concatenate([front, x[:, self.prefix :] + rows], axis=1)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            grid=self.grid,
            positions=self.positions,
            trainable_positions=self.trainable_positions,
            prefix=self.prefix,
        )
        return config
