"""Checksums and records against other people's numbers and readers."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixmodels.renderers import _corpus_record
from pixmodels.renderers._crc32c import crc32c

# RFC 3720, appendix B.4, and the check value of the CRC catalogue.
VECTORS = {
    bytes(32): 0x8A9136AA,
    b"\xff" * 32: 0x62A8AB43,
    bytes(range(32)): 0x46DD794E,
    bytes(range(31, -1, -1)): 0x113FDB5C,
    b"123456789": 0xE3069283,
}


def test_known_checksums():
    assert crc32c(list(VECTORS)).tolist() == list(VECTORS.values())
    assert len(crc32c([])) == 0


def bitwise(data):
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 * (register & 1))
    return register ^ 0xFFFFFFFF


@given(st.lists(st.binary(min_size=4, max_size=300), max_size=7))
def test_checksums_of_many(strings):
    assert crc32c(strings).tolist() == [bitwise(s) for s in strings]


fields = st.dictionaries(
    st.text("abcxyz_", min_size=1, max_size=11),
    st.one_of(
        st.lists(st.integers(0, 2**63 - 1), max_size=5),
        st.lists(st.binary(max_size=300), min_size=1, max_size=5),
    ),
    max_size=7,
)


@given(fields)
def test_messages_are_tensorflows(values):
    tf = pytest.importorskip("tensorflow")
    message = _corpus_record._message(values)
    assert _corpus_record._fields(message) == values
    parsed = tf.train.Example.FromString(message)
    for name, found in parsed.features.feature.items():
        kind = found.WhichOneof("kind")
        assert list(getattr(found, kind).value) == values[name]
    assert set(parsed.features.feature) == set(values)
    theirs = parsed.SerializeToString(deterministic=True)
    assert _corpus_record._fields(theirs) == values


@pytest.mark.parametrize("shape", [(7, 23), (7, 23, 3)])
def test_pixels_are_packed_without_loss(shape):
    rng = np.random.Generator(np.random.Philox(1))
    pixels = rng.integers(0, 256, shape, np.uint8)
    packed, raw = _corpus_record.pack(pixels)
    assert raw == np.moveaxis(pixels, 1, 0).tobytes()
    channels = 1 if len(shape) == 2 else 3
    again = _corpus_record.unpack(packed, *shape[:2], channels)
    np.testing.assert_array_equal(again, pixels)


def test_lengths_are_checked_by_tensorflow(tmp_path):
    """A wrong checksum is found: the files are not read by luck."""
    tf = pytest.importorskip("tensorflow")
    from pixmodels.renderers._corpus_files import TFRecordWriter

    path = tmp_path / "a.tfrecord"
    writer = TFRecordWriter(path)
    records = [bytes([n]) * (4 + 131 * n) for n in range(13)]
    writer.write(records[:5])
    writer.write(records[5:])
    writer.close()
    read = tf.data.TFRecordDataset(str(path))
    assert [record.numpy() for record in read] == records
    data = bytearray(path.read_bytes())
    assert struct.unpack_from("<Q", data) == (4,)
    data[13] ^= 1
    path.write_bytes(data)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(path)))
