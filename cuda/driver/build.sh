#!/bin/sh
# Builds libcuda.a into a folder: sh cuda/driver/build.sh build/cuda/lib
# A GPU build links with -L of that folder, which must hold no other libcuda, and -lcuda -ldl.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
${CC:-cc} -O2 -fPIC -Wall -Wextra -Werror -c "$here/driver.c" -o "$1/driver.o"
${AR:-ar} rcs "$1/libcuda.a" "$1/driver.o"
rm "$1/driver.o"
