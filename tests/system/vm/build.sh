#!/bin/sh
# build.sh CACHE DEBIAN STATION: what qemu boots for `cargo xtask vm`, in CACHE/vm: kernel, initramfs, a root disk with
# the packages of DEBIAN installed and enrolled with CERT's folder STATION, and a disk with the state of the services.
# Needs root, mmdebstrap, systemd-container, busybox-static, kmod, cpio, e2fsprogs, python3.
set -eu
here=$(dirname "$(readlink -f "$0")")
cache=$1 debian=$2 station=$3
tree=$("$here/../build-tree.sh" "$cache")
mkdir -p "$cache/vm"
cd "$cache/vm"

kernel=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" { print $2; exit }')
if [ ! -e "$kernel" ]; then
    apt-get -q download "$kernel"
    rm -rf ./*.new
    dpkg-deb -x "$kernel"_*.deb "$kernel.new"
    rm "$kernel"_*.deb
    mv "$kernel.new" "$kernel"
fi
release=$(ls "$kernel/lib/modules")
[ -e "$kernel/lib/modules/$release/modules.dep" ] || depmod -b "$kernel" "$release"
# The kernel itself out of its compressed image: qemu starts it by its PVH entry, and nothing is unpacked slowly.
python3 - "$kernel/boot/vmlinuz-$release" vmlinux <<'UNPACK'
import lzma, sys
image = open(sys.argv[1], "rb").read()
start = image.find(b"\xfd7zXZ\x00")
open(sys.argv[2], "wb").write(lzma.LZMADecompressor().decompress(image[start:]))
UNPACK

rm -rf initramfs root state
mkdir -p initramfs/bin initramfs/lib initramfs/proc initramfs/sys initramfs/dev initramfs/r
cp /bin/busybox initramfs/bin/
cp "$here/init" initramfs/init
for module in virtio_pci virtio_blk virtio_net ext4; do
    modprobe -d "$PWD/$kernel" -S "$release" --show-depends "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r file; do
    cp "$file" initramfs/lib/
    basename "$file" >>initramfs/lib/order
done
(cd initramfs && find . | cpio --quiet -o -H newc | gzip -1 >../initrd.gz)

cp -a "$tree" root
systemd-nspawn --quiet --register=no --keep-unit --pipe --directory=root --bind-ro="$debian":/d --bind-ro="$station":/s \
    --bind-ro="$here/..":/g sh /g/vm/install.sh
mkdir state
for folder in recueil recueil-ready recueil-courier recueil-host; do
    cp -a "root/var/lib/$folder" state/
done
size=$(($(du -sm root | cut -f 1) + 200))
rm -f root.ext4 state.ext4
truncate -s "${size}M" root.ext4
mkfs.ext4 -q -O ^has_journal -d root root.ext4
truncate -s 512M state.ext4
mkfs.ext4 -q -d state state.ext4
rm -rf initramfs root state
