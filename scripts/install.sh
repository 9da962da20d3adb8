#!/bin/sh
# sh scripts/install.sh BINARY PREFIX [NATIVE]   BINARY, its manual pages and its shell completions go under PREFIX
# sh scripts/install.sh --remove PREFIX          and away again
# The program itself writes pages and completions. Where BINARY is for another machine, NATIVE is the same program for this one.
set -eu
[ $# -ge 2 ] || {
	echo "usage: install.sh BINARY PREFIX [NATIVE] | --remove PREFIX" >&2
	exit 2
}
prefix=$2
man=$prefix/share/man/man1
bash=$prefix/share/bash-completion/completions/criticrm
zsh=$prefix/share/zsh/site-functions/_criticrm
fish=$prefix/share/fish/vendor_completions.d/criticrm.fish

if [ "$1" = --remove ]; then
	rm -f "$prefix/bin/criticrm" "$man"/criticrm.1 "$man"/criticrm-*.1 "$bash" "$zsh" "$fish"
	echo "install: criticrm is no longer in $prefix"
	exit
fi
native=${3:-$1}
umask 022
mkdir -p "$prefix/bin" "$man" "$(dirname "$bash")" "$(dirname "$zsh")" "$(dirname "$fish")" || {
	echo "install: $prefix cannot be written: sudo make install, or PREFIX=\$HOME/.local make install" >&2
	exit 1
}
cp "$1" "$prefix/bin/.criticrm.new" # a running one goes on with its own file
chmod 755 "$prefix/bin/.criticrm.new"
mv "$prefix/bin/.criticrm.new" "$prefix/bin/criticrm"
rm -f "$man"/criticrm-*.1 # a command that is no more
"$native" man "$man"
"$native" completion bash >"$bash"
"$native" completion zsh >"$zsh"
"$native" completion fish >"$fish"
echo "install: $prefix/bin/criticrm ($("$native" version)), manual pages, completions for bash, zsh and fish"
