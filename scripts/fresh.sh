# ./dev fresh: what a newcomer gets. A bare Debian 12 in a folder, a fresh clone of HEAD in it, and there ./run --once, ./test, ./run --once.
# Everything is mounted in a mount namespace of its own, so that nothing stays mounted, however it ends.

debian_mirror() { sed -n 's/^URIs: *//p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1; }

make_bare_debian() {
    local folder=$1 mirror
    mirror=$(debian_mirror)
    debootstrap --variant=minbase --include=git,ca-certificates bookworm "$folder" "${mirror:-http://deb.debian.org/debian}"
    # An installer writes it; debootstrap does not.
    printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$folder/etc/hosts"
    # How this host reaches its archive: names, sources, proxies and the certificates it trusts beside Debian's.
    cp -L /etc/resolv.conf "$folder/etc/resolv.conf"
    if [[ -f /etc/apt/sources.list.d/debian.sources ]]; then
        cp /etc/apt/sources.list.d/debian.sources "$folder/etc/apt/sources.list.d/"
        rm -f "$folder/etc/apt/sources.list"
    fi
    { grep -ls '^ *Acquire::.*[Pp]roxy' /etc/apt/apt.conf.d/* || true; } | xargs -r cp -t "$folder/etc/apt/apt.conf.d/"
    cp -r /usr/local/share/ca-certificates "$folder/usr/local/share/"
    chroot "$folder" update-ca-certificates
}

clone_into() {
    git clone -q --no-local "$root" "$1/vramd"
    git -C "$1/vramd" log -1 --oneline
}

# inside FOLDER COMMAND: in the bare system's clone, with none of this host's environment.
inside() {
    local folder=$1 command=$2
    unshare --mount --pid --fork --kill-child --propagation private bash -euc '
        mount -t proc proc "$1/proc"
        mount --rbind /sys "$1/sys"
        mount --rbind /dev "$1/dev"
        mount -t tmpfs tmpfs "$1/dev/shm"
        exec chroot "$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CI=true TERM=dumb \
            NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt bash -c "cd /vramd && $2"
    ' _ "$folder" "$command" </dev/null
}

# fresh_step FOLDER COMMAND: its output is shown as it comes, and its time afterwards.
fresh_step() {
    local begun status=0
    begun=$(now_ms)
    echo "== $2"
    inside "$1" "$2" 2>&1 | sed 's/^/   /' || status=$?
    echo "== $2: exit $status after $(seconds_since "$begun")"
    return "$status"
}

verb_fresh() {
    local folder=${1:-} status=0 command
    ((EUID == 0)) || refuse "A bare system is made and entered by root alone: sudo ./dev fresh"
    command -v debootstrap >/dev/null || step "install debootstrap" install_packages debootstrap
    if [[ -z $folder ]]; then
        folder=$(mktemp -d /var/tmp/vramd-fresh.XXXXXX)
        chmod 755 "$folder"  # It is the root of a system that has other users, too.
        # shellcheck disable=SC2064
        trap "rm -rf --one-file-system '$folder'" EXIT
    fi
    if [[ ! -x $folder/bin/bash ]]; then step "a bare Debian 12" make_bare_debian "$folder"; fi
    rm -rf "$folder/vramd"
    step "a fresh clone of HEAD" clone_into "$folder"
    for command in "./run --once" "./test" "./run --once"; do
        fresh_step "$folder" "$command" || status=1
    done
    exit "$status"
}
