#!/bin/sh
# Benchmarks of the working tree against another commit, interleaved, with benchstat if it is there.
#   sh scripts/bench-compare.sh REF [benchmark pattern]
set -eu
ref=${1:?usage: bench-compare.sh REF [pattern]}
pattern=${2:-.}
GO=${GO:-go}
tmp=$(mktemp -d)
trap 'git worktree remove --force "$tmp/ref" >/dev/null 2>&1; rm -rf "$tmp"' EXIT
git worktree add --quiet --detach "$tmp/ref" "$ref"
$GO test -c -o "$tmp/new.test" ./bench
(cd "$tmp/ref" && $GO test -c -o "$tmp/old.test" ./bench)
for _ in 1 2 3 4 5; do
	"$tmp/old.test" -test.run '^$' -test.bench "$pattern" -test.benchtime 0.3s >>"$tmp/old.txt"
	"$tmp/new.test" -test.run '^$' -test.bench "$pattern" -test.benchtime 0.3s >>"$tmp/new.txt"
done
if command -v benchstat >/dev/null 2>&1; then
	benchstat "$tmp/old.txt" "$tmp/new.txt"
else
	echo "benchstat is not installed (golang.org/x/perf/cmd/benchstat); the raw results:" >&2
	echo "== $ref" && cat "$tmp/old.txt" && echo "== working tree" && cat "$tmp/new.txt"
fi
