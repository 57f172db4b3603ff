"""One TensorBoard event file: records of protocol buffers, written by hand.

The writers that there are load a framework that a run may not want:
TensorBoard's own TensorFlow, tensorboardX torch, where these are installed.
The few messages that are needed are spelled out here. Source: `event.proto`,
`summary.proto`, `tensor.proto` of TensorFlow; TFRecord framing. Not here:
what is written (`_tensorboard`).
"""

import socket
import struct
import time

from pixmodels.renderers._crc32c import crc32c

_START = 1  # SessionLog.START
_STRING = 7  # DT_STRING
_SMALL = 1024  # Bytes of a record of scalars, and less than of an image.


class EventFile:
    """The only event file of a folder; older ones there are removed.

    A TensorBoard that has read these forgets them: it drops everything from
    the step of a second session start on, and each file begins with one, of
    step 0.

    Args:
        folder: `pathlib.Path`, made if missing.
    """

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}"
        self._file = open(folder / name, "wb")
        self._pending = []
        self._write(0, None, _text(3, "brain.Event:2"))
        self._write(0, None, _message(7, _whole(1, _START)))

    def add_scalars(self, values, step, wall_time=None):
        """Adds a dict of numbers under a Unix time (now by default)."""
        found = [
            _message(1, _text(1, tag) + struct.pack("<Bf", 2 << 3 | 5, value))
            for tag, value in values.items()
        ]
        self._write(step, wall_time, _message(5, b"".join(found)))

    def add_image(self, tag, png, size, step):
        """Adds a PNG file's bytes; its size is (width, height)."""
        width, height = size
        image = _whole(1, height) + _whole(2, width) + _whole(3, 3)
        image = _message(4, image + _bytes(4, png))
        self._write(step, None, _message(5, _message(1, _text(1, tag) + image)))

    def add_text(self, tag, text, step=0):
        """Adds a text in Markdown."""
        plugin = _message(9, _message(1, _text(1, "text")))
        tensor = _whole(1, _STRING) + _message(2, _message(2, _whole(1, 1)))
        tensor = _message(8, tensor + _text(8, text))
        value = _message(1, _text(1, tag) + plugin + tensor)
        self._write(step, None, _message(5, value))

    def flush(self):
        """Hands everything to the operating system."""
        records, self._pending = self._pending, []
        lengths = [struct.pack("<Q", len(record)) for record in records]
        # Together, which is fast; but all are padded to the longest.
        small = iter(crc32c([r for r in records if len(r) <= _SMALL]))
        for length, head, record in zip(lengths, crc32c(lengths), records):
            last = next(small) if len(record) <= _SMALL else crc32c([record])[0]
            self._file.write(length + _masked(head) + record + _masked(last))
        self._file.flush()

    def close(self):
        """Ends the file."""
        self.flush()
        self._file.close()

    def _write(self, step, wall_time, what):
        wall_time = time.time() if wall_time is None else wall_time
        event = struct.pack("<Bd", 1 << 3 | 1, wall_time) + _whole(2, step)
        self._pending.append(event + what)


def _masked(checksum):
    """A checksum as TFRecord stores it, unlike its own checksum: 4 bytes."""
    checksum = int(checksum)
    turned = (checksum >> 15 | checksum << 17) & 0xFFFFFFFF
    return struct.pack("<I", (turned + 0xA282EAD8) & 0xFFFFFFFF)


def _varint(number):
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def _whole(field, number):
    return _varint(field << 3) + _varint(number)


def _bytes(field, content):
    return _varint(field << 3 | 2) + _varint(len(content)) + content


_message = _bytes


def _text(field, text):
    return _bytes(field, text.encode())
