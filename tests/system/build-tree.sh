#!/bin/sh
# build-tree.sh CACHE: a Debian of this machine's release, from this machine's apt sources, for tests/tests/system and
# `cargo xtask vm`. Prints the folder of the tree, which lies below CACHE under a name made of all that goes into it.
# Needs root, mmdebstrap. Whoever comes second waits for the first.
set -eu
cache=$1
# What the packages of Recueil depend on and recommend, a process table for people, and a listener of another make.
packages=dbus,init-system-helpers,libnss-systemd,passwd,polkitd,procps,python3-dbus,python3-gi,systemd,systemd-sysv,tzdata

. /etc/os-release
sources=$(apt-get indextargets --format '$(ORIGIN) deb $(SITE) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    sed -n 's/^Debian //p' | sort -u)
[ -n "$sources" ] || { echo "apt has no lists of Debian's archive; run: apt-get update" >&2; exit 1; }
key=$(printf '%s\n' "$packages" "$sources" "$VERSION_CODENAME" 1 | sha256sum | cut -c 1-16)
tree=$cache/tree-$key

mkdir -p "$cache"
exec 9>"$cache/tree.lock"
flock 9
if [ ! -e "$tree/etc/os-release" ]; then
    echo "building a Debian tree for the tests on a booted system; this happens once" >&2
    rm -rf "$cache"/tree-*
    printf '%s\n' "$sources" | mmdebstrap --quiet --variant=essential --include="$packages" \
        --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/recueil*' \
        --customize-hook='rm -f "$1/etc/resolv.conf" "$1/etc/hostname"; : >"$1/etc/machine-id"' \
        --customize-hook='for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer systemd-timesyncd.service e2scrub_reap.service systemd-pstore.service; do ln -sf /dev/null "$1/etc/systemd/system/$unit"; done' \
        "$VERSION_CODENAME" "$tree.new" - >&2
    mv "$tree.new" "$tree"
fi
echo "$tree"
