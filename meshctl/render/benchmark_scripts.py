"""What the Jobs that measure a cluster run in their containers: shell scripts. PURE.

Rendered by `benchmarks`. Each packs a program's output and leaves it as its container's termination message. None has a
`$(…)`, which Kubernetes takes for a variable.
"""

from __future__ import annotations

from typing import Final

FOLDER: Final = ".meshctl-bench"  # in the root of the storage; a run has a folder of its own in it
_LEFT_MIN: Final = 60  # what is older than that was left by a node that died: no run takes as long

# Arguments: MiB, seconds of each job, where the storage is mounted, where the report goes.
#
# A run has a folder of its own: a pod that is ending, or that of another environment with the same file system, removes
# its own at any moment. Four files, as a file system may keep one file on one of its servers. What fio writes is
# packed, as it is larger than a termination message may be. Some file systems refuse direct I/O: the second try goes
# through the page cache, and its result says so. A shell that is process 1 gets only signals that it traps, and only
# between two commands: so fio runs beside it.
STORAGE_SCRIPT: Final = f"""\
all=$3/{FOLDER}
mkdir -p "$all" && chmod 1777 "$all" 2>/dev/null
find "$all" -mindepth 1 -maxdepth 1 -mmin +{_LEFT_MIN} -exec rm -rf {{}} + 2>/dev/null
folder=`mktemp -d "$all/XXXXXXXX"` || exit 1
trap 'rm -rf "$folder"; rmdir "$all" 2>/dev/null' EXIT
trap 'kill $measuring; wait; exit 143' TERM INT
measure() {{
  fio --output-format=json --output="$folder/report" --directory="$folder" --size="$1M" \\
    --filename=data1:data2:data3:data4 --runtime="$2" --time_based --direct="$3" --ioengine=libaio \\
    --percentile_list=50:90:95:99:99.9 --stonewall \\
    --name=write --rw=write --bs=1M --iodepth=16 --end_fsync=1 \\
    --name=read --rw=read --bs=1M --iodepth=16 \\
    --name=random-read --rw=randread --bs=4k --iodepth=16 \\
    --name=random-write --rw=randwrite --bs=4k --iodepth=16 --end_fsync=1 &
  measuring=$!
  wait $measuring
}}
measure "$1" "$2" 1 || measure "$1" "$2" 0 || exit 1
gzip -9 < "$folder/report" | base64 | tr -d '\\n' > "$4"
"""


OBJECT_MIB: Final = 16
TRANSFERS: Final = 16

# Arguments: the store's own folder in rclone's words, MiB, a folder of the node's disk, where the report goes.
#
# Objects are read into memory, so that no disk is measured. Only what lies under the run's own name is deleted, and
# what is so old that no run writes it any more.
OBJECTS_SCRIPT: Final = f"""\
run=`mktemp -u XXXXXXXX` || exit 1
remote="$1/{FOLDER}/$run"
rclone delete "$1/{FOLDER}" --min-age {_LEFT_MIN}m --rmdirs --quiet 2>/dev/null
trap 'rclone delete "$remote" --rmdirs --quiet' EXIT
trap 'kill $measuring; wait; exit 143' TERM INT
mkdir -p "$3/data" || exit 1
for number in `seq {OBJECT_MIB} {OBJECT_MIB} "$2"`; do
  head -c {OBJECT_MIB * 2**20} /dev/urandom > "$3/data/$number" || exit 1
done
measure() {{
  rclone copy "$1" "$2" --transfers={TRANSFERS} --s3-no-check-bucket --use-json-log --stats=24h \\
    --stats-log-level=NOTICE 2> "$3" &
  measuring=$!
  wait $measuring || {{ tail -n 3 "$3"; exit 1; }}
}}
measure "$3/data" "$remote" "$3/write"
measure "$remote" :memory:bench/data "$3/read"
for log in "$3/write" "$3/read"; do grep '"stats":' "$log" | tail -n 1; done | gzip -9 | base64 | tr -d '\\n' > "$4"
"""

KEYS: Final = "/run/meshctl-bench"
_SSH: Final = "/tmp/meshctl-bench"  # noqa: S108 (in a container of its own)
_SSH_PORT: Final = 2222

# sshd as whoever the pods run as, without the rights that it has as a service: it takes one key, and lets in one user.
SSHD_CONFIG: Final = f"""\
Port {_SSH_PORT}
HostKey {_SSH}/key
AuthorizedKeysFile {_SSH}/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
PermitRootLogin prohibit-password
"""
# sshd asks it for the user of its pod, which the image may not have
USERS: Final = """\
root:x:0:0:root:/root:/bin/bash
sshd:x:74:74:sshd:/run/sshd:/usr/sbin/nologin
mesh:x:1000:1000:mesh:/tmp:/bin/bash
"""
# Arguments: the largest size, GPUs of a node, the variables that ranks get, where the report goes.
#
# Rank 0 is the launcher, as in AWS's and CoreWeave's own manifests, whose MPI operator makes the keys. Its end is that
# of the measurement. No `$(…)`, which Kubernetes takes for a variable. Of the log only what is read is packed: the
# table, how many ranks there were on how many hosts, and over which network: a list of 300 ranks alone is larger than a
# termination message may be. Where output of others has damaged the list, the ratio of bandwidths says the number.
FABRIC_SCRIPT: Final = f"""\
PATH="$PATH:/usr/sbin:/opt/amazon/openmpi/bin"
mkdir -p {_SSH} /run/sshd 2>/dev/null
install -m 600 {KEYS}/key {_SSH}/key
ssh-keygen -y -f {_SSH}/key > {_SSH}/authorized_keys || exit 1
sshd=`command -v sshd`
"$sshd" -f {KEYS}/sshd_config -D -e &
if [ "$MESH_RANK" != 0 ]; then wait; exit 1; fi
ssh_options="-p {_SSH_PORT} -i {_SSH}/key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
slots=
for host in ${{HOSTS//,/ }}; do
  until ssh $ssh_options "$host" true; do sleep 1; done
  slots="$slots,$host:$2"
done
test=/opt/nccl-tests/build/all_reduce_perf
[ -x "$test" ] || test=/opt/nccl_tests/build/all_reduce_perf
ranks=$2
let "ranks *= MESH_NODES"
mpirun=`command -v mpirun`  # by its whole path it finds its own parts on other nodes
variables=
for name in $3; do variables="$variables -x $name"; done
"$mpirun" --allow-run-as-root --host "${{slots#,}}" -np $ranks --bind-to none \\
  --mca plm_rsh_args "$ssh_options" --mca pml ^ucx --mca btl tcp,self $variables \\
  "$test" -b 512M -e "$1" -f 2 -g 1 -w 5 -n 20 > {_SSH}/log 2>&1
result=$?
if [ $result != 0 ]; then tail -n 30 {_SSH}/log; exit $result; fi
grep -E '^#|^ +[0-9]|Using network|NET/Socket : Using|CCL version' {_SSH}/log \\
  | awk '
    /^# +Rank/ {{
      ranks++
      last = $3 > last ? $3 : last
      model = $0; sub(/^.*\\] +/, "", model)
      if (!models[model]++) listed = listed (listed ? ", " : "") model
      host = $0; sub(/ +device .*$/, "", host); sub(/^.* on +/, "", host)
      if (!on[host]++) hosts++
      next
    }}
    /CCL/ {{ sub(/^.*INFO /, ""); if (seen[$0]++ || ++logged > 12) next }}
    {{ print }}
    END {{ if (ranks && ranks == last + 1) print "# " ranks " ranks on " hosts " hosts: " listed }}' \\
  | gzip -9 | base64 | tr -d '\\n' > "$4"
"""


# Arguments: the program, and where the report goes.
GPU_SCRIPT: Final = """\
python -c "$1" > /tmp/output || exit 1
gzip -9 < /tmp/output | base64 | tr -d '\\n' > "$2"
"""


# Arguments: the level, how long it may take in seconds, where the report goes.
#
# A host engine of its own, which listens on the loopback of its pod alone, and goes with the pod. What dcgmi exits with
# is its verdict, and no failure of the measurement: that nothing could be tested is a result as well, in its words.
DIAGNOSIS_SCRIPT: Final = """\
folder=`mktemp -d` && cd "$folder" || exit 1
nv-hostengine --pid "$folder/pid" -f "$folder/log" > output 2>&1
waited=0
until dcgmi discovery -l > discovered 2>&1 || [ $waited -ge 60 ]; do
  sleep 1
  let "waited += 1"
done
timeout "$2" dcgmi diag -r "$1" -v -j > diagnosed 2>> output
code=$?
[ $code != 124 ] || echo "it was not over after $2 s" >> output
grep -q test_categories diagnosed || { tail -n 5 output discovered diagnosed > words; mv words diagnosed; }
gzip -9 < diagnosed | base64 | tr -d '\\n' > "$3"
"""
