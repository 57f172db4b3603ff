import keras
from keras import ops

from pixmodels import positions as position_tables

# "rotary" has no table: the mixers turn queries and keys.
POSITIONS = ("learned", "sincos", "rotary", "none")


@keras.saving.register_keras_serializable(package="pixmodels")
class PositionEmbedding(keras.layers.Layer):
    """Adds a table of absolute positions to tokens.

    Args:
        grid: (R, C), the grid of the table: R * C rows for patches.
        positions: "learned", "sincos" (`pixmodels.positions.sincos_2d`),
            "rotary" or "none"; the last two add nothing here.
        trainable_positions: whether the table is trained; None means learned
            tables are and sin-cos tables are not.
        prefix: rows in front, for class tokens; zeros in a sin-cos table.
        num_registers: tokens after those of `prefix` that get no position.
        method: how the table is resampled for another grid, as
            `pixmodels.positions.resampling_matrix`.

    Call arguments:
        x: (B, prefix + num_registers + N, D) floating point.
        positions: (B, N) int32 in [0, R * C), places of the patches; None
            means 0 .. N - 1.
        grid: (rows, columns), the grid that the places count through; the
            table's own by default. The table is resampled for another one,
            in float32 and inside the graph, so that it can be trained.

    Returns:
        As `x`.

    Raises:
        ValueError: for an unknown kind or method, or more patches than the
            grid has cells.

    Example:
        >>> import numpy as np
        >>> layer = pixmodels.layers.PositionEmbedding((2, 3))
        >>> layer.build((None, None, 5))
        >>> layer(np.zeros((1, 1 + 28, 5)), grid=(4, 7)).shape
        TensorShape([1, 29, 5])
    """

    def __init__(
        self,
        grid,
        *,
        positions="learned",
        trainable_positions=None,
        prefix=1,
        num_registers=0,
        method="bicubic",
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value, known in (
            ("positions", positions, POSITIONS),
            ("method", method, position_tables.RESAMPLING),
        ):
            if value not in known:
                raise ValueError(
                    f"Expected {name} to be one of {known}. Received: "
                    f"{name}={value!r}."
                )
        self.grid = tuple(grid)
        self.positions = positions
        self.trainable_positions = trainable_positions
        self.prefix = prefix
        self.num_registers = num_registers
        self.method = method

    @property
    def has_table(self):
        """False for "rotary" and "none"."""
        return self.positions in ("learned", "sincos")

    def build(self, input_shape):
        if not self.has_table:
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
            autocast=False,
        )
        self.built = True

    def call(self, x, positions=None, grid=None):
        if not self.has_table:
            return x
        grid = self.grid if grid is None else tuple(grid)
        table = ops.cast(self._table_of(grid), x.dtype)
        front = self.prefix + self.num_registers
        if positions is None:
            count = x.shape[1]
            if count is not None and count - front > grid[0] * grid[1]:
                raise ValueError(
                    f"Expected at most {grid[0] * grid[1]} patches, "
                    f"the size of the position table (grid={grid}). "
                    f"Received: {count - front} patches."
                )
            count = ops.shape(x)[1] if count is None else count
            rows = table[None, : count - self.num_registers]
            if not self.num_registers:
                return x + rows
            rows = rows[:, self.prefix :]
        else:
            rows = ops.take(table, positions + self.prefix, axis=0)
        parts = [x[:, front:] + rows]
        if self.num_registers:
            parts.insert(0, x[:, self.prefix : front])
        if self.prefix:
            parts.insert(0, x[:, : self.prefix] + table[None, : self.prefix])
        return ops.concatenate(parts, axis=1) if len(parts) > 1 else parts[0]

    def _table_of(self, grid):
        """(prefix + rows * columns, D), resampled if `grid` is another."""
        table = ops.convert_to_tensor(self.table)
        if grid == self.grid:
            return table
        down, across = (
            ops.convert_to_tensor(
                position_tables.resampling_matrix(old, new, self.method),
                "float32",
            )
            for old, new in zip(self.grid, grid, strict=True)
        )
        width = table.shape[-1]
        cells = ops.cast(table[self.prefix :], "float32")
        # (R C, D) -> (R', C D) -> (R', C', D)
        cells = ops.matmul(down, ops.reshape(cells, (self.grid[0], -1)))
        cells = ops.reshape(cells, (grid[0], self.grid[1], width))
        cells = ops.reshape(ops.matmul(across, cells), (-1, width))
        front = ops.cast(table[: self.prefix], "float32")
        return ops.concatenate([front, cells]) if self.prefix else cells

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = super().get_config()
        config.update(
            grid=self.grid,
            positions=self.positions,
            trainable_positions=self.trainable_positions,
            prefix=self.prefix,
            num_registers=self.num_registers,
            method=self.method,
        )
        return config
