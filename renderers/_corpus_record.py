"""One drawn text as a `tf.train.Example`, written and read by hand.

Here: the protocol buffer's wire format, the packing of pixels. Not here:
files of records (_corpus_files.py). The fields stand in `render_corpus`."""

import zlib

import numpy as np

# On 1,800 lines of NTREX (5 scripts, 12,242 bytes each as pixels), bytes and
# time to pack: columns at level 1 1,969 in 116 us, level 5 1,755 in 170 us,
# level 6 1,724 in 226 us; rows at level 6 2,313 in 279 us; PNG at level 6
# 2,420 in 620 us (to unpack: 167 us, columns 38 us). Drawing takes 400 us.
_LEVEL = 5
_KINDS = {str: b"text", tuple: b"pair", list: b"words"}


def pack(pixels):
    """Pixels (H, W) or (H, W, 3) as zlib data of the columns (W, H, ...).

    Letters repeat along the row, so columns are packed better than rows.

    Returns:
        `(packed, raw)`, bytes.
    """
    raw = pixels.swapaxes(0, 1).tobytes()
    return zlib.compress(raw, _LEVEL), raw


def unpack(data, height, width, channels):
    """The pixels of `pack`, uint8 (H, W), or (H, W, 3) for 3 channels."""
    raw = np.frombuffer(zlib.decompress(data), np.uint8)
    shape = (width, height) if channels == 1 else (width, height, channels)
    return raw.reshape(shape).swapaxes(0, 1)


def encode(number, item, pixels, packed, batch, place, keep_text):
    """A record as bytes, the same for the same arguments.

    Args:
        number: int, the text's number in the corpus.
        item: the text drawn: str, pair or list of words.
        pixels: (H, W) or (H, W, 3) uint8; only its shape is used.
        packed: bytes, by `pack`.
        batch: RenderedBatch in which the text stands at `place`.
        keep_text: bool, whether the text goes in.
    """
    fields = {
        "channels": [pixels.shape[2] if pixels.ndim == 3 else 1],
        "height": [pixels.shape[0]],
        "id": [number],
        "num_patches": [int(batch.num_patches[place])],
        "pixels": [packed],
        "sep_patches": [int(patch) for patch in batch.sep_patches[place]],
        "width": [pixels.shape[1]],
        "word_starts": [int(p) for p in batch.word_starts[place] or ()],
    }
    if keep_text:
        parts = [item] if isinstance(item, str) else item
        fields["kind"] = [_KINDS[str if isinstance(item, str) else type(item)]]
        fields["text"] = [
            part.encode("utf-8", "surrogatepass") for part in parts
        ]
    return _message(fields)


def decode(data):
    """A record as a dict, see `Corpus`."""
    fields = _fields(data)
    size = [fields[key][0] for key in ("height", "width", "channels")]
    record = {
        "pixels": unpack(fields["pixels"][0], *size),
        "num_patches": fields["num_patches"][0],
        "id": fields["id"][0],
        "sep_patches": tuple(fields["sep_patches"]),
        "word_starts": tuple(fields["word_starts"]) or None,
    }
    if "kind" in fields:
        parts = [
            part.decode("utf-8", "surrogatepass") for part in fields["text"]
        ]
        kind = fields["kind"][0]
        if kind == b"text":
            record["text"] = parts[0]
        else:
            record["text"] = tuple(parts) if kind == b"pair" else parts
    return record


def _message(fields):
    """dict from name to list of bytes or ints >= 0 as a tf.train.Example."""
    features = b""
    for name in sorted(fields):
        values = fields[name]
        if values and isinstance(values[0], bytes):
            feature = _block(1, b"".join(_block(1, v) for v in values))
        elif name == "text":  # No words: still a list of bytes.
            feature = _block(1, b"")
        else:
            packed = b"".join(map(_varint, values))
            feature = _block(3, _block(1, packed) if values else b"")
        features += _block(1, _block(1, name.encode()) + _block(2, feature))
    return _block(1, features)


def _fields(data):
    """The inverse of `_message`."""
    fields = {}
    for _, features in _blocks(data):
        for _, entry in _blocks(features):
            (_, name), (_, feature) = _blocks(entry)
            [(kind, values)] = _blocks(feature)
            if kind == 1:
                found = [value for _, value in _blocks(values)]
            else:
                found = [
                    number
                    for _, packed in _blocks(values)
                    for number in _varints(packed)
                ]
            fields[bytes(name).decode()] = found
    return fields


def _block(number, data):
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


def _varint(value):
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)


def _blocks(data):
    """Yields (field number, bytes) of a message of length-delimited fields."""
    place = 0
    while place < len(data):
        number = data[place] >> 3
        size, start = _read_varint(data, place + 1)
        yield number, data[start : start + size]
        place = start + size


def _varints(data):
    place = 0
    while place < len(data):
        value, place = _read_varint(data, place)
        yield value


def _read_varint(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, place
