#!/bin/sh
# A headless Chromium for the tests that look at reports, and pictures of them:
#
#   scripts/chromium.sh                          installs one from the distribution if there is none
#   scripts/chromium.sh --try                    … where that can be done without asking, and says what is not tested elsewhere
#   scripts/chromium.sh PAGE.html OUT.png [WIDTH [HEIGHT]]   … and takes a picture
set -eu

me=chromium
. "$(dirname "$0")/lib.sh"

find() {
	for name in "${CHROME:-}" chromium chromium-browser google-chrome google-chrome-stable; do
		if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
			echo "$name"
			return
		fi
	done
}

browser=$(find)
if [ "${1:-}" = --try ]; then
	# Ubuntu's package is a snap, which containers cannot run.
	if [ -z "$browser" ] && { grep -qs '^ID=ubuntu' /etc/os-release || ! (install "a browser for tests of the report" chromium) </dev/null; }; then
		echo "$me: there is none, so the layout of reports is not looked at: install one, or name it with CHROME"
	fi
	exit 0
fi
if [ -z "$browser" ]; then
	[ -z "${CHROME:-}" ] || fail "CHROME=$CHROME is no program"
	install "a browser for tests of the report" chromium
	browser=$(find)
	[ -n "$browser" ] || fail "chromium was installed and is not on PATH"
fi
[ $# -gt 0 ] || exit 0
[ $# -ge 2 ] || fail "usage: $0 [PAGE.html OUT.png [WIDTH [HEIGHT]]]"

root=""
[ "$(id -u)" -ne 0 ] || root=--no-sandbox
profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
page=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
"$browser" --headless --disable-gpu --hide-scrollbars --force-device-scale-factor=1 $root --user-data-dir="$profile" \
	--window-size="${3:-1200},${4:-2400}" --screenshot="$2" "file://$page" >/dev/null 2>&1 || fail "$browser took no picture of $1"
[ -s "$2" ] || fail "$browser left no picture at $2"
