"""What a launcher (mpiexec, srun) tells the programs that it starts."""

import os
import sys

_SIZES = (
    "OMPI_COMM_WORLD_SIZE",  # Open MPI
    "PMI_SIZE",  # MPICH, Intel MPI, Cray
    "PMIX_SIZE",
    "MV2_COMM_WORLD_SIZE",  # MVAPICH
    # Set by srun for what it starts, not in the shell that salloc opens nor in a batch file.
    "SLURM_STEP_NUM_TASKS",
)


def launched_processes() -> int:
    """Return how many processes a launcher says it started; 1 without one."""
    for name in _SIZES:
        value = os.environ.get(name, "")
        if value.isdigit():
            return max(int(value), 1)
    return 1


def program() -> str:
    """Return the name of this program."""
    return sys.argv[0] or "this program"
