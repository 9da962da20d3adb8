#!/bin/sh
# Open MPI for the tests of trainings with several processes, from the distribution, where that can be done without asking; what is not tested
# elsewhere is said. Nothing else needs it.
set -eu

me=openmpi
. "$(dirname "$0")/lib.sh"

command -v mpirun >/dev/null 2>&1 || (install "Open MPI, for tests of several processes" openmpi-bin) </dev/null ||
	echo "$me: there is no mpirun, so trainings with several processes are not tested: install openmpi-bin"
