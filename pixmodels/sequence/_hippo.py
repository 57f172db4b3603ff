"""Initial transition matrices of state-space layers, in float64 numpy.

Here: HiPPO-LegS as diagonal plus low rank, and the diagonals made of it. Not
here: weights (the layers)."""

import functools

import numpy as np


@functools.cache
def legs(size):
    """HiPPO-LegS in the basis of its normal part, one of each pair.

    `A_nk = -sqrt((2n + 1)(2k + 1))` below the diagonal and `-(n + 1)` on it,
    `B_n = sqrt(2n + 1)`. With `P_n = sqrt(n + 1/2)` the matrix `A + P P^T` is
    normal, which gives `A = V (diag(L) - p p^*) V^*`. Source: Gu et al. 2022,
    "Efficiently Modeling Long Sequences with Structured State Spaces",
    theorem 1 and appendix C.

    Args:
        size: N, even: eigenvalues come in N / 2 conjugate pairs.

    Returns:
        (L, p, b), each (N / 2,) complex128, of the eigenvalues with a
        positive imaginary part, ascending. Their conjugates are left out.
    """
    n = np.arange(size, dtype="float64")
    root = np.sqrt(2 * n + 1)
    matrix = -np.tril(np.outer(root, root), -1) - np.diag(n + 1)
    low_rank = np.sqrt(n + 0.5)
    normal = matrix + np.outer(low_rank, low_rank)
    real = np.mean(np.diag(normal))  # -1/2
    # The rest is skew: i times a Hermitian matrix.
    skew = normal - real * np.eye(size)
    values, vectors = np.linalg.eigh(-1j * skew)
    keep = values > 0
    values, vectors = values[keep], vectors[:, keep]
    # A vector's phase is arbitrary: that of its product with B is taken out.
    b = vectors.conj().T @ root
    turn = b / np.abs(b)
    return real + 1j * values, vectors.conj().T @ low_rank / turn, b / turn


def diagonal(kind, size):
    """Initial eigenvalues of a diagonal system.

    Source: Gu et al. 2022, "On the Parameterization and Initialization of
    Diagonal State Space Models", eqs. 8 and 9, and the definition of S4D-LegS
    above them.

    Args:
        kind: "lin" (`-1/2 + i pi n`), "legs" (those of `legs`) or "inv"
            (`-1/2 + i N / pi (N / (2n + 1) - 1)`).
        size: N, even.

    Returns:
        (N / 2,) complex128 with negative real parts.
    """
    n = np.arange(size // 2)
    if kind == "lin":
        return -0.5 + 1j * np.pi * n
    if kind == "inv":
        return -0.5 + 1j * size / np.pi * (size / (2 * n + 1) - 1)
    return legs(size)[0]


INITS = ("lin", "legs", "inv")
