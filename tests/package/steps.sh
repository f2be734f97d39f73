#!/usr/bin/env bash
# What life.sh has done inside the bare system, under systemd. Each step says what it showed; the first that fails ends it.
set -euo pipefail
told=
failed() {
    echo "BAD $told (line $1)"
    systemctl status --no-pager vramd.service || true
    journalctl --no-pager -u vramd.service | tail -n 30 || true
}
trap 'failed $LINENO' ERR
showing() { told=$*; }
shown() { echo "ok  $told"; }

main_pid() { systemctl show --property=MainPID --value vramd.service; }
of_system() { vramctl system -o json | tr ',' '\n' | sed -n "s/.*\"$1\":\"\\?\\([^\"]*\\)\"\\?/\\1/p"; }
life_in_store() { systemctl show --property=NFileDescriptorStore --value vramd.service; }
# Asked again until it answers: a connection is refused while no keeper has the sockets.
until_served() { timeout 60 bash -c 'until vramctl system -o name >/dev/null 2>&1; do :; done'; }
same_bytes() {
    vramctl cat "$id" | cmp - /random
    vramctl cat "$model" --force | cmp - /model
    [[ $(vramctl models -o name) == vad ]]
    vramctl audit >/dev/null
}

showing "lintian has no error to tell"
lintian --fail-on error --tag-display-limit 0 --allow-root /vramd.deb
shown
showing "installing starts the service, as its own user"
dpkg -i /vramd.deb >/dev/null
systemctl is-active --quiet vramd.service
[[ $(stat -c %U "/proc/$(main_pid)") == vramd ]]
[[ $(systemctl show --property=Type --value vramd.service) == notify ]]
shown
showing "systemd has nothing to say against the unit, and finds its manual"
[[ -z $(systemd-analyze verify /lib/systemd/system/vramd.service 2>&1) ]]
man -w vramd vramctl vramd.toml vramd-attach >/dev/null
shown
showing "what Prometheus and Grafana take lies in /usr/share/vramd, and Python finds its package"
for file in prometheus/vramd-alerts.yml prometheus/vramd-records.yml prometheus/prometheus.yml grafana/vramd.json; do [[ -s /usr/share/vramd/$file ]]; done
python3 -c 'import json; json.load(open("/usr/share/vramd/grafana/vramd.json"))'
[[ $(python3 -c 'import vramd; print(vramd.__file__)') == /usr/lib/python3/dist-packages/vramd/__init__.py ]]
python3 -c 'import vramd; print(vramd.connect().devices)' >/dev/null
shown
showing "a model is loaded and memory is written, within all the unit forbids"
cp /samples/silero_vad.onnx /var/lib/vramd/models/
chown vramd /var/lib/vramd/models/silero_vad.onnx
vramctl load silero_vad.onnx --name vad >/dev/null
head -c 1048576 /dev/urandom >/random
id=$(vramctl alloc 1MiB -o name)
vramctl put "$id" /random >/dev/null
pinned=$(vramctl alloc 1MiB --type pinned -o name)
model=$(vramctl ps -o json | tr '{' '\n' | sed -n '/"model":"vad"/s/.*"id":"\([^"]*\)".*/\1/p')
vramctl cat "$model" --force >/model
vramctl free "$pinned" >/dev/null
same_bytes
shown
showing "reload keeps all, and the unit is active again after it"
systemctl reload vramd.service
until_served
same_bytes
shown
showing "systemctl restart keeps all: systemd has the memory meanwhile"
before=$(main_pid)
systemctl restart vramd.service
[[ $(main_pid) != "$before" ]]
same_bytes
shown
showing "the keeper's death by SIGKILL keeps all"
before=$(main_pid)
kill -KILL "$before"
timeout 60 bash -c "until [[ \$(systemctl show --property=MainPID --value vramd.service) != @($before|0) ]]; do :; done"
until_served
same_bytes
shown
showing "an upgrade of the package keeps all, and the keeper stays"
before=$(main_pid)
generation=$(of_system generation)
dpkg -i /next.deb >/dev/null
until_served
timeout 60 bash -c "until vramctl system -o json 2>/dev/null | grep -q '\"generation\":$((generation + 1)),'; do :; done"
[[ $(main_pid) == "$before" ]]
[[ $(readlink "/proc/$before/exe") == */usr/lib/vramd/vramd ]]
same_bytes
shown
showing "vramctl upgrade does the same by hand"
[[ $(vramctl upgrade) == *"(pid $before) went on with the binary on disk"*"core $((generation + 2)), all memory kept." ]]
[[ $(main_pid) == "$before" ]]
same_bytes
shown
showing "a restart after the upgrade keeps all"
systemctl restart vramd.service
same_bytes
(($(life_in_store) > 3))
shown
showing "a configuration with a fault costs nothing: mended, it is all there again"
echo 'nonsense = 1' >>/etc/vramd/vramd.toml
systemctl restart vramd.service && false
sed -i '/nonsense/d' /etc/vramd/vramd.toml
timeout 60 bash -c 'until systemctl is-active --quiet vramd.service; do :; done'
same_bytes
shown
showing "a stop ends the memory"
systemctl stop vramd.service
systemctl start vramd.service
[[ -z $(vramctl ps -o name) ]]
shown
showing "removing ends the service, purging leaves nothing but the models"
dpkg -r vramd >/dev/null
systemctl is-active --quiet vramd.service && false
[[ -e /etc/vramd/vramd.toml && ! -e /usr/share/vramd && ! -e /usr/lib/python3/dist-packages/vramd ]]
dpkg -P vramd >/dev/null 2>&1
[[ ! -e /etc/vramd && ! -e /run/vramd && $(find /var/lib/vramd -type f) == /var/lib/vramd/models/silero_vad.onnx ]]
! getent passwd vramd
shown
echo good >/verdict
