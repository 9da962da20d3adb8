#!/bin/sh
# Writes symbols.h: the driver's entry points that gorgonia.org/cu and package cuda name, as the linker finds them missing. The
# headers' version decides on some names, so give one include folder of each generation:
#   sh cuda/driver/symbols.sh INCLUDE-OF-CUDA-12.4 INCLUDE-OF-CUDA-13.0
set -eu
here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
ar rc "$tmp/libcuda.a" # without members
for include; do
	CGO_CFLAGS="-I$here/../include -I$include" CGO_LDFLAGS="-L$tmp" go test -tags cuda -run '^$' "$here/.." 2>&1 || true # it cannot link
done | sed -n 's/.*undefined reference to .\(cu[A-Z][A-Za-z0-9_]*\).*/\1/p' | grep -v '^cuInit$' | sort -u >"$tmp/names"
[ -s "$tmp/names" ] || { echo "symbols: the linker named none" >&2; exit 1; }
sed 's/.*/X(&)/' "$tmp/names" >"$here/symbols.h"
