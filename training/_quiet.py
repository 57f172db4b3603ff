"""Loads TensorFlow without its start-up chatter.

TensorFlow 2.21 writes a dozen lines to stderr before any log level applies.
Not here: warnings and errors of Python, which nothing hides.
"""

import os
import re
import sys
import tempfile

from pixmodels.training import _malloc

# "I0000 00:00:1795 ... port.cc:153] ..." and what stands around such lines.
_CHATTER = re.compile(
    rb"[IWE]\d{4} \d\d:\d\d:[\d.]+ |WARNING: All log messages before absl|"
    rb"To enable the following instructions"
)


def load_tensorflow():
    """Imports TensorFlow and looks for devices; passes other lines on."""
    _malloc.keep_freed()
    sys.stderr.flush()
    keep = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        finally:
            os.dup2(keep, 2)
            os.close(keep)
            file.seek(0)
            for line in file:
                if not _CHATTER.match(line):
                    os.write(2, line)
