# shellcheck shell=sh
# Go itself, from the Go module proxy's module golang.org/toolchain, for machines without a Go that will do. Sourced by setup.sh.
# For another version: go mod download -json golang.org/toolchain@v0.0.1-goX.Y.Z.linux-ARCH, and sha256sum of the Zip that it names.
go_version=1.26.8
go_sha256_amd64=30c2b1bf7dcc88d3eb0a1364e47ddd9128edb3110a30e8a0ef61cd5856b31de7
go_sha256_arm64=02b36b6787b3ac767668f630e2998df45a3b1f9ffee08d1bf3ef6487cd658d99
go_root=$root/build/go$go_version # as a whole or not at all

arch=$(dpkg --print-architecture 2>/dev/null || uname -m | sed 's/^x86_64$/amd64/; s/^aarch64$/arm64/')

# Where the toolchain's zip may be had: Go's own cache, then each entry of GOPROXY. Unlike Go's own rule an entry that fails in any way
# is followed by the next, behind a comma too: whoever answers, the checksum decides.
go_sources() {
	cache=${GOMODCACHE:-${GOPATH:-${HOME:-/nonexistent}/go}/pkg/mod}/cache/download
	[ ! -f "$cache/$1" ] || echo "file://$cache"
	printf '%s\n' "$proxies" | tr ',|' '\n\n' | sed 's|^direct$|https://go.dev/dl/mod|; s|/$||; /^$/d; /^off$/,$d'
}

fetch_go() {
	eval "sum=\${go_sha256_$arch:-}"
	[ "$sum" ] || fail "no Go is known for this machine's architecture ($arch): install Go $go_oldest or newer and put it on PATH"
	module=golang.org/toolchain@v0.0.1-go$go_version.linux-$arch
	path=golang.org/toolchain/@v/${module#*@}.zip
	proxies=${GOPROXY:-$(GOTOOLCHAIN=local "$GO" env GOPROXY 2>/dev/null || true)}
	proxies=${proxies:-https://proxy.golang.org,direct}
	mkdir -p "$root/build"
	tmp=$(mktemp -d "$root/build/fetching.XXXXXX")
	trap 'rm -rf "$tmp"' EXIT
	trap 'exit 1' HUP INT TERM
	for source in $(go_sources "$path"); do
		echo "$me: fetching Go $go_version (70 MB) from $(shown "$source") into build/go$go_version"
		download "$source/$path" "$tmp/zip" && break
		echo "$me: $(shown "$source") does not give it" >&2
		rm -f "$tmp/zip"
	done
	[ -f "$tmp/zip" ] || fail "Go $go_version cannot be fetched from GOPROXY ($(shown "$proxies")): check the network, https_proxy and GOPROXY, or install Go $go_oldest or newer and put it on PATH"
	is=$(sha256sum "$tmp/zip" | cut -d ' ' -f 1)
	[ "$is" = "$sum" ] || fail "$module from $(shown "$source") is not what it should be, and is thrown away: $(wc -c <"$tmp/zip") bytes with sha256 $is, expected $sum. It was cut or altered on the way: try again, or another GOPROXY"
	unpack "$tmp/zip" "$tmp" || fail "Go cannot be unpacked into build: is the disk full?"
	new=$tmp/$module
	# What a module's zip cannot hold: modules inside of it, and what may be executed.
	find "$new/src" -name _go.mod | while read -r f; do cp "$f" "${f%_go.mod}go.mod"; done
	chmod -R u+w,a+rX "$new"
	chmod a+x "$new"/bin/* "$new"/pkg/tool/*/*
	"$new/bin/go" version >/dev/null || fail "the fetched Go does not run on this machine ($(uname -sm))"
	rm -rf "$go_root"
	mv "$new" "$go_root"
	rm -rf "$tmp"
	trap - EXIT HUP INT TERM
}
