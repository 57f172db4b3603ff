"""CRC-32C of many byte strings at once, in NumPy.

Here: the checksum that TFRecord files carry. Not here: the files
(_corpus_files.py). A loop over bytes would take longer than drawing."""

import functools

import numpy as np

_POLYNOMIAL = 0x82F63B78  # Castagnoli, bits reversed.
_BLOCK = 64


@functools.cache
def _table():
    """(256,) uint32: the register after one byte."""
    value = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        value = (value >> 1) ^ np.where(value & 1, np.uint32(_POLYNOMIAL), 0)
    return value.astype(np.uint32)


@functools.cache
def _shift():
    """(4, 256) uint32: the register after `_BLOCK` zeros, by its bytes."""
    table = _table()
    registers = np.arange(256, dtype=np.uint32) << np.arange(
        0, 32, 8, dtype=np.uint32
    ).reshape(4, 1)
    for _ in range(_BLOCK):
        registers = table[registers & 255] ^ (registers >> 8)
    return registers


def crc32c(strings):
    """Checksums of byte strings.

    Args:
        strings: list of bytes, each of at least 4 bytes.

    Returns:
        (len(strings),) uint32.

    Source: RFC 3720, appendix B.4 (test vectors); the register is linear in
    the message, so blocks are done side by side and then joined.

    Example:
        >>> hex(crc32c([b"123456789"])[0])
        '0xe3069283'
    """
    if not strings:
        return np.zeros(0, np.uint32)
    longest = max(map(len, strings))
    blocks = -(-longest // _BLOCK)
    # Zeros in front change nothing when the register starts from zero; all
    # ones at the start are the same as four inverted bytes.
    data = np.zeros((len(strings), blocks * _BLOCK), np.uint8)
    for row, string in zip(data, strings):
        start = len(row) - len(string)
        row[start:] = np.frombuffer(string, np.uint8)
        row[start : start + 4] ^= 255
    table = _table()
    lanes = data.reshape(-1, _BLOCK)
    registers = np.zeros(len(lanes), np.uint32)
    for column in lanes.T:
        registers = table[(registers ^ column) & 255] ^ (registers >> 8)
    shift = _shift()
    result = np.zeros(len(strings), np.uint32)
    for block in registers.reshape(-1, blocks).T:
        moved = shift[0][result & 255]
        for byte in (1, 2, 3):
            moved = moved ^ shift[byte][(result >> (8 * byte)) & 255]
        result = moved ^ block
    return ~result
