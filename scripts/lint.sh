#!/bin/sh
# What a look at the files shows: formatting, go vet, spelling, links between the documents, shell scripts. `make lint` runs it.
set -eu
me=lint
GO=${GO:-go}
. "$(dirname "$0")/lib.sh"
cd "$root"

files() { # files SUFFIX...: the sources, without what is made
	for suffix; do find . \( -path ./build -o -path ./bin -o -path ./runs -o -path ./.git -o -name testdata \) -prune -o -type f -name "*.$suffix" -print; done
}

# shellcheck disable=SC2046
bad=$(gofmt -l $(files go))
[ -z "$bad" ] || fail "not formatted, run gofmt -w on: $bad"

"$GO" vet ./...

# shellcheck disable=SC2046
bad=$("$GO" tool misspell $(files go md cc cu cuh h c sh py yaml yml))
[ -z "$bad" ] || fail "misspelt:
$bad"

"$GO" test ./internal/links

if command -v shellcheck >/dev/null 2>&1; then
	shellcheck -S warning scripts/*.sh scripts/hooks/* bench/*.sh examples/*.sh .ci/run
else
	echo "lint: shellcheck is not installed: the scripts are not checked"
fi
