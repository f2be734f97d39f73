#!/usr/bin/env bash
# life.sh PACKAGE: the package's life in a bare Debian 12, under its own systemd: installed, used, restarted, its keeper killed, upgraded, removed,
# purged; each step with a sample model whose bytes are compared. As root; ./dev package test. Needs a kernel that lets root make namespaces.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$(dirname "$here")")
cd "$root"
for part in scripts/*.sh; do
    # shellcheck source=/dev/null
    source "$part"
done
package=$(realpath "$1")
samples=${VRAMD_SAMPLES:-$root/.cache/samples}
folder=${VRAMD_BARE:-}
if [[ -z $folder ]]; then
    folder=$(mktemp -d /var/tmp/vramd-package.XXXXXX)
    chmod 755 "$folder"
    # shellcheck disable=SC2064
    trap "rm -rf --one-file-system '$folder'" EXIT
fi

# A package of the next version with the same programs: an upgrade is one whatever is in it.
next_package() {
    local parts=$folder/next
    rm -rf "$parts"
    dpkg-deb -R "$package" "$parts"
    sed -i 's/^Version: .*/&+1/' "$parts/DEBIAN/control"
    printf '\n' >>"$parts/usr/share/doc/vramd/copyright"
    (cd "$parts" && find . -path ./DEBIAN -prune -o -type f -print | sed 's|^./||' | LC_ALL=C sort | xargs md5sum | grep -v ' etc/' >DEBIAN/md5sums)
    dpkg-deb --root-owner-group -b "$parts" "$folder/next.deb"
    rm -rf "$parts"
}

make_ready() {
    [[ -x $folder/bin/bash ]] || make_bare_debian "$folder"
    chroot "$folder" env DEBIAN_FRONTEND=noninteractive apt-get update -q
    chroot "$folder" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends systemd systemd-sysv dbus procps lintian man-db python3
    chroot "$folder" dpkg -P vramd  # What an earlier run that failed has left.
    rm -rf "$folder/var/lib/vramd" "$folder/var/log/journal"
    next_package
    cp "$package" "$folder/vramd.deb"
    mkdir -p "$folder/samples"
    cp "$samples/silero_vad.onnx" "$folder/samples/"
    cp "$here/steps.sh" "$folder/steps.sh"
    cp "$here/steps.service" "$folder/etc/systemd/system/steps.service"
    ln -sf /dev/null "$folder/etc/systemd/system/getty.target"
    ln -sf /dev/null "$folder/etc/systemd/system/systemd-udevd.service"
    ln -sf /dev/null "$folder/etc/systemd/system/systemd-logind.service"
    mkdir -p "$folder/etc/systemd/system/multi-user.target.wants"
    ln -sf ../steps.service "$folder/etc/systemd/system/multi-user.target.wants/steps.service"
    # What the package needs comes from the archive now: there is no network inside.
    chroot "$folder" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends --download-only /vramd.deb
    chroot "$folder" bash -c 'apt-get install -q -y --no-install-recommends $(dpkg-deb -f /vramd.deb Depends | tr "," "\n" | sed "s/[(|].*//")'
}

# Namespaces of its own with systemd as the first process; it ends when the steps are done. /verdict says how.
boot() {
    rm -f "$folder/verdict" "$folder/log"
    timeout --kill-after=10 300 unshare --mount --pid --fork --kill-child --uts --ipc --cgroup --propagation private bash -euc '
        mount --bind "$1" "$1"
        mount -t proc proc "$1/proc"
        mount -t sysfs -o ro sysfs "$1/sys"
        mount -t tmpfs -o mode=755 tmpfs "$1/dev"
        for device in null zero full random urandom tty; do
            touch "$1/dev/$device"
            mount --bind "/dev/$device" "$1/dev/$device"
        done
        mkdir "$1/dev/shm" "$1/dev/pts"
        mount -t tmpfs tmpfs "$1/dev/shm"
        mount -t tmpfs -o mode=755 tmpfs "$1/run"
        if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
            mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
        else
            mount -t tmpfs tmpfs "$1/sys/fs/cgroup"
            mkdir "$1/sys/fs/cgroup/systemd"
            mount -t cgroup -o none,name=systemd cgroup "$1/sys/fs/cgroup/systemd"
        fi
        exec chroot "$1" env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system
    ' _ "$folder" </dev/null >/dev/null 2>&1 || true
    cat "$folder/log"
    [[ $(cat "$folder/verdict" 2>/dev/null) == good ]]
}

step "a bare Debian 12 with systemd" make_ready
boot
