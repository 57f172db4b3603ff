"""SavedModels: export, serving signatures and what serves them.

Every exported signature has named inputs and outputs and loads in a process
that knows only tensorflow. Not here: anything of `pixmodels.training`, which
calls this package and is unknown to it.
"""

from pixmodels.saved_models.check import check_in_new_process
from pixmodels.saved_models.export import export
from pixmodels.saved_models.export import read_metadata

__all__ = ["check_in_new_process", "export", "read_metadata"]
