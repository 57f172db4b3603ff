"""Named sizes of encoders and decoders, for whoever has the models loaded.

The tables are in `pixmodels._sizes`, which loads no keras.
"""

from pixmodels._sizes import MAE_DECODER as MAE_DECODER
from pixmodels._sizes import SIZES as SIZES
from pixmodels._sizes import size as size
