"""Files of records: ArrayRecord and TFRecord.

Here: a writer and a reader of each, chosen by name. Not here: what a record
holds (_corpus_record.py), names and checksums (_corpus_shard.py)."""

import os
import struct

import numpy as np

from pixmodels.renderers._crc32c import crc32c
from pixmodels.renderers._libraries import load

_ARRAY_RECORD = "array_record.python.array_record_module"
# One record a chunk, which random access needs; records are packed already.
_WRITE = "group_size:1,uncompressed"
_READ = "readahead_buffer_size:0,max_parallelism:0"
_MASK_DELTA = 0xA282EAD8


class ArrayRecordWriter:
    """Writes an ArrayRecord file."""

    def __init__(self, path):
        self._writer = load(_ARRAY_RECORD).ArrayRecordWriter(str(path), _WRITE)

    def write(self, records):
        """Appends a list of bytes."""
        for record in records:
            self._writer.write(record)

    def close(self):
        """Completes the file."""
        self._writer.close()


class ArrayRecordReader:
    """Records of an ArrayRecord file by number."""

    def __init__(self, path):
        self._reader = load(_ARRAY_RECORD).ArrayRecordReader(str(path), _READ)

    def __getitem__(self, place):
        return self._reader.read([place])[0]

    def close(self):
        """Closes the file."""
        self._reader.close()


class TFRecordWriter:
    """Writes a TFRecord file.

    Each record: its length (uint64), the masked CRC-32C of that, the bytes,
    their masked CRC-32C; little-endian. Source: TensorFlow's documentation,
    "TFRecord and tf.train.Example".
    """

    def __init__(self, path):
        self._file = open(path, "wb")

    def write(self, records):
        """Appends a list of bytes, none shorter than 4."""
        lengths = [struct.pack("<Q", len(record)) for record in records]
        heads = _masked(lengths)
        tails = _masked(records)
        for length, head, record, tail in zip(lengths, heads, records, tails):
            self._file.write(length + head + record + tail)

    def close(self):
        """Completes the file."""
        self._file.close()


class TFRecordReader:
    """Records of a TFRecord file by number; offsets are found when opened."""

    def __init__(self, path):
        self._file = open(path, "rb")  # Closed by `close` or with the reader.
        self._spans = []
        end = os.fstat(self._file.fileno()).st_size
        place = 0
        while place + 12 <= end:
            [length] = struct.unpack("<Q", self._at(place, 8))
            self._spans.append((place + 12, length))
            place += length + 16

    def __getitem__(self, place):
        return self._at(*self._spans[place])

    def close(self):
        """Closes the file."""
        self._file.close()

    def __del__(self):
        if hasattr(self, "_file"):
            self.close()

    def _at(self, start, length):
        return os.pread(self._file.fileno(), length, start)


def _masked(strings):
    """Masked CRC-32C of each string, 4 bytes."""
    crc = crc32c(strings)
    rotated = (crc >> np.uint32(15)) | (crc << np.uint32(17))
    values = rotated + np.uint32(_MASK_DELTA)
    return [value.tobytes() for value in values.astype("<u4")]


# name -> (suffix, writer, reader)
FORMATS = {
    "arrayrecord": (".arrayrecord", ArrayRecordWriter, ArrayRecordReader),
    "tfrecord": (".tfrecord", TFRecordWriter, TFRecordReader),
}
