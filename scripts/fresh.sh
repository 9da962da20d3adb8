#!/bin/sh
# sh scripts/fresh.sh [option...] SUITE [command...]: the last commit on a fresh machine, by default `make demo`.
# SUITE is bookworm, trixie, jammy or noble. The machine is a minimal root made by debootstrap with git and make in it and nothing else of
# ours; each run has a copy of its own. Root's rights are needed, and debootstrap; it is no part of `make test`.
#
#   --as root|sudo|none   who runs the command: root, a user with sudo, a user without rights     (root)
#   --read-only-home      the home folder cannot be written
#   --offline             `make setup` first, then the command without a network
#   --proxied             no names are known, so that everything has to go through http_proxy and https_proxy
#   --arch arm64          another architecture, by qemu-user and binfmt_misc
#
# From the environment: DEBOOTSTRAP_MIRROR, GOPROXY, http_proxy, https_proxy, no_proxy; and SSL_CERT_FILE, certificates that the root's
# ca-certificates is to have too, those of a proxy for example. Roots stay in build/fresh for the next run.
set -eu
me=fresh
. "$(dirname "$0")/lib.sh"

as=root
home=
offline=
proxied=
arch=$(dpkg --print-architecture)
while :; do
	case ${1:-} in
	--as) as=$2 && shift ;;
	--arch) arch=$2 && shift ;;
	--read-only-home) home=ro ;;
	--offline) offline=yes ;;
	--proxied) proxied=yes ;;
	-*) fail "there is no option $1, see the head of this file" ;;
	*) break ;;
	esac
	shift
done
suite=${1:-}
script=$suite
case $suite in
bookworm | trixie) mirror=http://deb.debian.org/debian ;;
jammy | noble)
	mirror=http://archive.ubuntu.com/ubuntu
	[ "$arch" = amd64 ] || mirror=http://ports.ubuntu.com/ubuntu-ports
	script=jammy # older debootstraps do not know the newer names
	;;
*) fail "want a suite, bookworm, trixie, jammy or noble, not \"$suite\": see the head of this file" ;;
esac
shift
[ $# -gt 0 ] || set -- make demo
case $as in root | sudo | none) ;; *) fail "--as is root, sudo or none, not $as" ;; esac
[ "$(id -u)" -eq 0 ] || fail "making a root takes root's rights"
command -v debootstrap >/dev/null 2>&1 || install "debootstrap" debootstrap
mirror=${DEBOOTSTRAP_MIRROR:-$mirror}
[ -f "/usr/share/debootstrap/scripts/$script" ] || script=gutsy

base=$root/build/fresh/$suite-$arch
mkdir -p "$root/build/fresh"
tmp=$(mktemp -d "$root/build/fresh/run.XXXXXX")
trap 'rm -rf --one-file-system "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

# enter ROOT COMMAND...: in the root, with mounts that end with it, and without a network where NET is --net.
NET=
enter() {
	dir=$1
	shift
	cp /etc/resolv.conf "$dir/etc/resolv.conf"
	[ -z "$proxied" ] || echo "nameserver 127.0.0.254" >"$dir/etc/resolv.conf"
	unshare $NET --mount --pid --fork --kill-child sh -c '
		set -e
		root=$1 readonly=$2
		shift 2
		mount -t proc proc "$root/proc"
		mount --rbind /dev "$root/dev"
		[ -z "$readonly" ] || { mount --bind "$root$readonly" "$root$readonly" && mount -o remount,bind,ro "$root$readonly"; }
		exec chroot "$root" "$@"' enter "$dir" "$readonly" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb \
		${GOPROXY:+GOPROXY="$GOPROXY"} ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} ${no_proxy:+no_proxy="$no_proxy"} "$@"
}
readonly=

if [ ! -d "$base" ]; then
	echo "$me: making a root of $suite ($arch) from $mirror"
	debootstrap --variant=minbase --arch="$arch" "$suite" "$tmp/root" "$mirror" "/usr/share/debootstrap/scripts/$script" >"$tmp/log" 2>&1 || {
		tail -n 5 "$tmp/log" >&2
		fail "debootstrap failed"
	}
	! grep -q 'Cannot check Release' "$tmp/log" || echo "$me: this machine has no key of $suite: what was fetched is not verified" >&2
	case $suite in jammy | noble) # as Ubuntu's own images have it
		echo "deb $mirror $suite main universe" >"$tmp/root/etc/apt/sources.list"
		echo "deb $mirror $suite-updates main universe" >>"$tmp/root/etc/apt/sources.list"
		;;
	esac
	enter "$tmp/root" sh -c 'apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends git make && useradd -m -s /bin/sh user' >"$tmp/log" 2>&1 || {
		tail -n 5 "$tmp/log" >&2
		fail "git and make cannot be installed into the root"
	}
	echo "127.0.0.1 localhost $(hostname)" >"$tmp/root/etc/hosts"
	mv "$tmp/root" "$base"
fi
cp -a "$base" "$tmp/root"
[ -z "${SSL_CERT_FILE:-}" ] || {
	mkdir -p "$tmp/root/usr/local/share/ca-certificates"
	cp "$SSL_CERT_FILE" "$tmp/root/usr/local/share/ca-certificates/fresh.crt"
}

user=user
[ "$as" != root ] || user=root
home_folder=$(sed -n "s|^$user:.*:\(/[^:]*\):[^:]*\$|\1|p" "$tmp/root/etc/passwd")
if [ "$as" = sudo ]; then
	enter "$tmp/root" sh -c 'apt-get update -qq && apt-get install -y -qq --no-install-recommends sudo' >"$tmp/log" 2>&1 || fail "sudo cannot be installed into the root"
	echo "user ALL=(ALL) NOPASSWD: ALL" >"$tmp/root/etc/sudoers.d/user"
fi
git clone -q --no-hardlinks "$root" "$tmp/root/srv/criticrm"
enter "$tmp/root" chown -R "$user:" /srv/criticrm
[ -z "$home" ] || readonly=$home_folder

ids=$(enter "$tmp/root" id -u "$user")
as_user() { enter "$tmp/root" chroot --userspec="$ids:$ids" --groups="$ids" / env HOME="$home_folder" USER="$user" sh -c 'cd /srv/criticrm && exec "$@"' fresh "$@"; }
if [ "$offline" ]; then
	as_user make setup
	NET=--net
fi
echo "$me: $suite, $arch, as $as${home:+, read-only home}${offline:+, offline}${proxied:+, by proxy}: $*"
status=0
as_user "$@" || status=$?
echo "$me: exit code $status"
exit $status
