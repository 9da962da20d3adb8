#!/bin/sh
# sh scripts/dist.sh [amd64] [arm64]: archives of the last commit, for both without an argument, in build/dist: one static program that
# any Linux runs, manual pages, completions, documents, licences and an SBOM; SHA256SUMS. The same commit and tools give the same bytes.
# `make dist` runs this. For the other architecture its cross compiler has to be there (g++-aarch64-linux-gnu, g++-x86-64-linux-gnu).
set -eu
me=dist
GO=${GO:-go}
. "$(dirname "$0")/lib.sh"
[ $# -gt 0 ] || set -- amd64 arm64
cd "$root"
[ -z "$(git status --porcelain)" ] || echo "$me: what is not committed is left out" >&2
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
umask 022
mkdir -p build/dist
out=$root/build/dist
tmp=$(mktemp -d "$root/build/dist/making.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
git clone -q --no-hardlinks "$root" "$tmp/source"
cd "$tmp/source"

cross() { # the prefix of the compilers for an architecture: none for this machine's own
	[ "$1" != "$host" ] || return 0
	case $1 in amd64) echo x86_64-linux-gnu- ;; arm64) echo aarch64-linux-gnu- ;; *) fail "the architectures are amd64 and arm64, not $1" ;; esac
}

compile() { # compile ARCH: the program into $tmp/ARCH
	prefix=$(cross "$1")
	CC=${prefix}gcc
	CXX=${prefix}g++
	command -v "$CXX" >/dev/null 2>&1 || {
		echo "$me: $1 is not built: $CXX is missing. Run: sudo apt-get update && sudo apt-get install -y g++-$(echo "${prefix%-}" | tr _ -)" >&2
		return 1
	}
	CGO_ENABLED=1 GOOS=linux GOARCH=$1 CC=$CC CXX=$CXX "$GO" build -trimpath -buildvcs=true -tags netgo,osusergo \
		-ldflags '-s -w -linkmode external -extldflags -static' -o "$tmp/$1" ./cmd/criticrm
}

host=$("$GO" env GOHOSTARCH)
for arch; do cross "$arch" >/dev/null; done
compile "$host" || exit 1
version=$("$tmp/$host" version | cut -d ' ' -f 2)
tag=$(git describe --exact-match --match 'v[0-9]*' 2>/dev/null || true)
[ -z "$tag" ] || [ "$tag" = "v$version" ] || fail "the commit's tag is $tag, the program says $version"

failed=
for arch; do
	[ -f "$tmp/$arch" ] || compile "$arch" || {
		failed="$failed $arch"
		continue
	}
	name=criticrm-$version-linux-$arch
	share=$tmp/$name/share/doc/criticrm
	sh scripts/install.sh "$tmp/$arch" "$tmp/$name" "$tmp/$host" >/dev/null
	mkdir -p "$share"
	cp -r LICENSE README.md CHANGELOG.md docs examples "$share"
	glibc=$(echo '#include <features.h>' | "$CXX" -E -dM -x c++ - | sed -n 's/#define __GLIBC__ //p; s/#define __GLIBC_MINOR__ //p' | paste -s -d .)
	"$GO" run ./internal/sbom -licenses "$share/licenses" -native "glibc $glibc" -native "libstdc++ $("$CXX" -dumpfullversion)" "$tmp/$arch" >"$share/sbom.cdx.json"
	cp "$share/sbom.cdx.json" "$tmp/$name.cdx.json"
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --mode=u=rwX,go=rX -C "$tmp" -cf - "$name" | gzip -n -9 >"$tmp/$name.tar.gz"
done
cd "$tmp"
ls criticrm-*.tar.gz >/dev/null 2>&1 || fail "nothing was built"
sha256sum criticrm-*.tar.gz criticrm-*.cdx.json >SHA256SUMS
rm -f "$out"/criticrm-* "$out/SHA256SUMS"
mv criticrm-*.tar.gz criticrm-*.cdx.json SHA256SUMS "$out"
cat "$out/SHA256SUMS"
[ -z "$failed" ] || fail "not built, see above:$failed"
echo "$me: build/dist has criticrm $version for $*"
