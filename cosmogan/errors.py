"""The errors of cosmogan.

Each is also the builtin it refines, carries one message that says what is wrong, where, and what
to do, and survives pickling, since it may cross processes::

    CosmoganError
    ├── RecipeError         (ValueError)    a recipe, a parameter or an option is wrong
    ├── LayoutError         (ValueError)    a file breaks the contract of `cosmogan.fields.layout`
    ├── SplitError          (ValueError)    training and judging would share a simulation
    ├── CheckpointError     (ValueError)    a checkpoint is damaged or of another network
    ├── ResourceError       (RuntimeError)  disk, memory, GPU or cluster is not to be had
    ├── TrainingError       (RuntimeError)  the training diverged; the last good checkpoint stays
    └── Stopped             (RuntimeError)  a signal asked the run to stop; the same command continues
"""


class CosmoganError(Exception):
    """Anything cosmogan raises on purpose."""


class RecipeError(CosmoganError, ValueError):
    """A recipe, a parameter or an option is wrong."""


class LayoutError(CosmoganError, ValueError):
    """A file breaks the contract of `cosmogan.fields.layout`."""


class SplitError(CosmoganError, ValueError):
    """Training and judging would share a simulation."""


class CheckpointError(CosmoganError, ValueError):
    """A checkpoint is damaged, incomplete or belongs to another network."""


class ResourceError(CosmoganError, RuntimeError):
    """Disk, memory, an accelerator or a cluster is not to be had."""


class TrainingError(CosmoganError, RuntimeError):
    """The training diverged; the last good checkpoint stays."""


class Stopped(CosmoganError, RuntimeError):
    """A signal asked the run to stop; the same command continues it."""
