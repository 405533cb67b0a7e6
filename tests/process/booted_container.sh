#!/usr/bin/env bash
# By hand, as root: installs Canopy into a Debian tree of its own, boots it with systemd-nspawn and looks how
# the service behaves there. Needs debootstrap and systemd-container. Two minutes beside the build.
#
#   tests/process/booted_container.sh [TREE]     TREE: a debootstrapped tree to keep and use again
set -euo pipefail
cd "$(dirname "$0")/../.."

tree=${1:-} build=${SERVICE_BUILD:-$PWD/build/service}
work=$(mktemp -d "${TMPDIR:-/tmp}/canopy-booted-XXXXXX")
clean_up() {
  rmdir "/sys/fs/cgroup/canopy-booted-$$/payload" "/sys/fs/cgroup/canopy-booted-$$" 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT
[ -n "$tree" ] || tree=$work/tree

# ---- the tree: systemd, what the daemon is linked with, and a client that is not ours
if [ ! -e "$tree/usr/bin/systemctl" ]; then
  packages=systemd,systemd-sysv,udev,dbus,libsystemd0,libzmq5,liblmdb0,libxxhash0,libfmt9,libspdlog1.10,libtomlplusplus3,python3-cffi-backend,python3-zmq
  debootstrap --variant=minbase --include="$packages" bookworm "$tree" >"$work/log" 2>&1 || { tail -30 "$work/log"; exit 1; }
fi

# ---- install as a distribution would
[ -f "$build/build.ninja" ] || meson setup "$build" --buildtype=release --prefix=/usr >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
ninja -C "$build" src/daemon/canopyd tools/canopy/canopy >"$work/log" 2>&1 || { tail -50 "$work/log"; exit 1; }
meson install -C "$build" --no-rebuild --destdir "$tree" >"$work/log" 2>&1 || { tail -30 "$work/log"; exit 1; }
for name in a b; do
  base=$([ $name = a ] && echo 7800 || echo 7900)
  cat >"$tree/etc/canopy/$name.toml" <<END
[node]
name = "$name"
[listen]
client = "tcp://127.0.0.1:$((base))"
feed   = "tcp://127.0.0.1:$((base + 1))"
ingest = "tcp://127.0.0.1:$((base + 2))"
link   = "tcp://127.0.0.1:$((base + 3))"
[fabric]
seeds = ["tcp://127.0.0.1:7803", "tcp://127.0.0.1:7903"]
bootstrap_expect = 2
END
done
rm -rf "$tree"/var/lib/canopy "$tree/results"

# ---- what is looked at, inside
cat >"$tree/root/ping.py" <<'END'
import sys, zmq
s = zmq.Context().socket(zmq.REQ); s.linger = 0; s.rcvtimeo = 2000
s.connect("tcp://127.0.0.1:" + sys.argv[1]); s.send_multipart([b"PING", b"{}"])
try: print(b" ".join(s.recv_multipart()).decode())
except zmq.Again: print("no answer")
END
cat >"$tree/root/load.py" <<'END'
import zmq
s = zmq.Context().socket(zmq.DEALER); s.linger = 0; s.connect("tcp://127.0.0.1:7700")
n = 0
while True:
    while n < 200:
        s.send_multipart([b"", b"PUBLISH", b'{"author": "load"}', b"x" * 200]); n += 1
    s.recv_multipart(); n -= 1
END
cat >"$tree/root/checks" <<'END'
#!/bin/bash
exec >/results 2>&1
passed=0 failed=0
check() { if eval "$2"; then echo "ok      $1"; passed=$((passed + 1)); else echo "FAILED  $1"; failed=$((failed + 1)); journalctl -n 20 --no-pager -u 'canopyd*'; fi; }
ping() { python3 /root/ping.py "$1"; }
of() { systemctl show -P "$2" "$1"; }
again() { for _ in $(seq 100); do eval "$1" && return 0; sleep 0.1; done; return 1; }

systemctl enable --now canopyd
check "enable --now returns with an active service that answers" '[ "$(systemctl is-active canopyd)" = active ] && [[ $(ping 7700) == OK* ]]'
check "it runs as its own user" '[ "$(stat -c %U /proc/$(of canopyd MainPID))" = canopy ]'
check "its data is its own" '[ "$(stat -c %U:%a /var/lib/canopy)" = canopy:700 ]'

before=$(of canopyd MainPID)
[ "$before" -gt 1 ] && kill -9 "$before"
check "kill -9 restarts it" 'again "[ \$(of canopyd MainPID) != $before ] && [[ \$(ping 7700) == OK* ]]"'
check "reload keeps it running" 'systemctl reload canopyd && [ "$(systemctl is-active canopyd)" = active ]'

python3 /root/load.py & load=$!
sleep 2
systemctl stop canopyd
check "SIGTERM under load exits 0" '[ "$(of canopyd ExecMainStatus)" = 0 ] && [ "$(of canopyd Result)" = success ]'
kill $load
systemctl start canopyd
check "it comes back after that" '[[ $(ping 7700) == OK* ]]'

systemctl start --no-block canopyd@a
sleep 2
check "a node that waits for another is activating" '[ "$(systemctl is-active canopyd@a)" = activating ]'
check "it says what it waits for" '[[ $(of canopyd@a StatusText) == *waiting* ]]'
check "until then PING is refused" '[[ $(ping 7800) == ERR*UNAVAILABLE* ]]'
systemctl start canopyd@b
check "two canopyd@x stand side by side" 'again "[ \"\$(systemctl is-active canopyd@a canopyd@b | sort -u)\" = active ]"'
check "both answer" '[[ $(ping 7800) == OK* && $(ping 7900) == OK* ]]'
check "a follow crosses them" 'canopy -e tcp://127.0.0.1:7800 follow bob alice --wait 5s | grep -q "bob follows alice"'

echo 'fanout = "wide"' >>/etc/canopy/wrong.toml
systemctl start canopyd@wrong
check "a wrong setting is not tried again" '[ "$(of canopyd@wrong ExecMainStatus)" = 2 ] && sleep 2 && [ "$(of canopyd@wrong NRestarts)" = 0 ]'

for unit in canopyd.service canopyd@a.service; do
  exposure=$(systemd-analyze security "$unit" --no-pager | sed -n 's/.*Overall exposure level for .*: \([0-9.]*\).*/\1/p')
  check "systemd-analyze security $unit: $exposure" '[ -n "$exposure" ] && awk "BEGIN { exit !($exposure <= 2.0) }"'
done
systemctl stop canopyd canopyd@a canopyd@b
echo
echo "$passed passed, $failed failed"
END
chmod +x "$tree/root/checks"
cat >"$tree/etc/systemd/system/checks.service" <<'END'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/root/checks
ExecStopPost=/bin/systemctl poweroff --no-block
TimeoutStartSec=120
[Install]
WantedBy=default.target
END
mkdir -p "$tree/etc/systemd/system/default.target.wants"
ln -sf ../checks.service "$tree/etc/systemd/system/default.target.wants/checks.service"

# ---- boot it, in a control group of its own
mkdir "/sys/fs/cgroup/canopy-booted-$$"
(
  echo "$BASHPID" >"/sys/fs/cgroup/canopy-booted-$$/cgroup.procs"
  exec timeout -k 10 240 systemd-nspawn -q -D "$tree" --boot --register=no --keep-unit --private-network --console=pipe </dev/null
) >"$work/boot.log" 2>&1 || true
if [ ! -f "$tree/results" ]; then
  echo "the container did not come to the checks:" >&2
  tail -30 "$work/boot.log" >&2
  exit 1
fi
cat "$tree/results"
grep -q ' passed, 0 failed$' "$tree/results"
