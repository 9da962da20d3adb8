#!/bin/sh
# Real text for `make text`, in build/gsm8k, verified: GSM8K's training answers and model solutions (Cobbe et al. 2021, MIT) and the harmless
# test pairs of HH-RLHF (Bai et al. 2022, MIT). GITHUB_RAW is where the files are fetched from: a mirror has them at the same paths.
set -eu
me=gsm8k
. "$(dirname "$0")/lib.sh"

from=${GITHUB_RAW:-https://raw.githubusercontent.com}
from=${from%/}
gsm8k=openai/grade-school-math/3101c7d5072418e28b9008a6636bde82a006892c
hh=anthropics/hh-rlhf/354e5c3cb8960630860dd5774a6ac2a58313bf4d
train_sha256=17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465
solutions_sha256=4bc62db838f8418365d51c627bd66294cbdca9fb7f01519cb13f0dce8c51580b
harmless_sha256=ebfaaed21162a4de120ae85366075b34425e2a6303fac59b99555002f7016f03
dir=$root/build/gsm8k
tmp=
trap '[ -z "$tmp" ] || rm -rf "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

is() { # is FILE SHA256
	[ "$(sha256sum "$1" | cut -d ' ' -f 1)" = "$2" ]
}

get() { # get NAME SHA256 PATH SIZE
	if [ -f "$dir/$1" ]; then
		is "$dir/$1" "$2" || fail "$dir/$1 is not what was fetched: remove it, and it is fetched again"
		return
	fi
	if [ -z "$tmp" ]; then
		needs=$(fetch_needs | grep -v unzip || :) # nothing is unpacked
		[ -z "$needs" ] || install "what fetches" "$needs"
		mkdir -p "$dir"
		tmp=$(mktemp -d "$dir/fetching.XXXXXX")
	fi
	byhand="Or fetch it yourself: as $1 it belongs into build/gsm8k"
	echo "$me: fetching $1 ($4, MIT) from $(shown "$from/$3") into build/gsm8k"
	download "$from/$3" "$tmp/$1" || fail "$(shown "$from/$3") cannot be fetched: check the network, https_proxy and GITHUB_RAW. $byhand"
	is "$tmp/$1" "$2" || fail "$1 from $(shown "$from/$3") is not what it should be, and is thrown away: it was cut or altered on the way. Try again, or another GITHUB_RAW. $byhand"
	mv "$tmp/$1" "$dir/$1"
}

get train.jsonl $train_sha256 $gsm8k/grade_school_math/data/train.jsonl "4.2 MB"
get example_model_solutions.jsonl $solutions_sha256 $gsm8k/grade_school_math/data/example_model_solutions.jsonl "2.6 MB"
get harmless.jsonl.gz $harmless_sha256 $hh/harmless-base/test.jsonl.gz "0.7 MB"
