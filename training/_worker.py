"""What a worker process runs, and the messages that pass.

A message is its size (8 bytes), then its bytes, with at most one file
descriptor of shared memory. Not here: starting and ending workers
(`worker_pool`). This module imports numpy and the standard library only.
"""

import mmap
import os
import pickle
import socket
import struct
import sys
import traceback

import numpy as np

_HEAD = struct.Struct("<Q")
_ALIGN = 64  # bytes, at which arrays begin in shared memory


def main(connection, shared):
    """Answers calls until the parent closes its end.

    Args:
        connection: file descriptor of a Unix socket.
        shared: file descriptor of memory that holds the pickled target.
    """
    with socket.socket(fileno=connection) as parent:
        try:
            target, failure = _load(shared), None
        except Exception as error:
            target, failure = None, _error_of(error, loading=True)
        try:
            while True:
                call, _ = receive(parent)
                send(parent, *(failure or (_answer(target, call))))
        except (EOFError, ConnectionError):
            pass  # The parent has ended, or closed the pool.
    # Without the clean-up of libraries, which may wait for threads.
    os._exit(0)


def send(connection, message, shared=None):
    """Sends bytes, and closes the descriptor it sends along."""
    head = _HEAD.pack(len(message))
    if shared is None:
        connection.sendall(head)
    else:
        socket.send_fds(connection, [head], [shared])
        os.close(shared)
    connection.sendall(message)


def receive(connection):
    """(bytes, file descriptor or None); EOFError where the other end is."""
    head, found, _, _ = socket.recv_fds(connection, _HEAD.size, 1)
    while len(head) < _HEAD.size:
        more = connection.recv(_HEAD.size - len(head))
        if not more:
            raise EOFError
        head += more
    [size] = _HEAD.unpack(head)
    message = bytearray(size)
    view, place = memoryview(message), 0
    while place < size:
        count = connection.recv_into(view[place:])
        if not count:
            raise EOFError
        place += count
    return message, (found[0] if found else None)


def _load(shared):
    with mmap.mmap(shared, 0, prot=mmap.PROT_READ) as memory:
        os.close(shared)
        return pickle.loads(memory)


def _answer(target, call):
    try:
        method, arguments = pickle.loads(call)
        if method is None:
            return _packed(sorted(sys.modules))
        return _packed(getattr(target, method)(*arguments))
    except Exception as error:
        return _error_of(error)


def _packed(value):
    """(message, shared memory): arrays of a dict go into the memory."""
    if not isinstance(value, dict):
        return pickle.dumps(("value", value, {})), None
    rest, places, arrays, end = {}, {}, [], 0
    for name, item in value.items():
        if not isinstance(item, np.ndarray) or item.dtype.hasobject:
            rest[name] = item
            continue
        rest[name] = None  # Keeps the order of the names.
        start = -(-end // _ALIGN) * _ALIGN
        places[name] = (item.dtype, item.shape, start)
        arrays.append((start, np.ascontiguousarray(item)))
        end = start + item.nbytes
    if not end:
        return pickle.dumps(("value", value, {})), None
    shared = os.memfd_create("pixmodels-batch")
    os.ftruncate(shared, end)
    for start, array in arrays:
        _write(shared, array, start)
    return pickle.dumps(("value", rest, places)), shared


def _write(shared, array, start):
    data = memoryview(array.reshape(-1).view(np.uint8))
    while len(data):
        count = os.pwrite(shared, data, start)
        data, start = data[count:], start + count


def _error_of(error, loading=False):
    """(message, None) that makes the parent raise the error."""
    if loading:
        text = (
            "Expected a source that worker processes can load: its class must "
            "be in a module that can be imported, not in a script or a "
            "notebook; without workers it may be anywhere. Received: "
            f"{type(error).__name__}: {error}"
        )
        return pickle.dumps(("error", TypeError(text), {})), None
    error.add_note(
        "in a worker process:\n" + "".join(traceback.format_exception(error))
    )
    error.__traceback__ = None
    try:
        message = pickle.dumps(("error", error, {}))
        pickle.loads(message)
    except Exception:
        plain = RuntimeError(f"{type(error).__name__}: {error}")
        plain.__notes__ = error.__notes__
        message = pickle.dumps(("error", plain, {}))
    return message, None
