#!/bin/sh
# SeaweedFS, all of it in one process: bucket.py makes LumiKB's bucket in it. LumiKB's key can do with
# that bucket what LumiKB does, and nothing else. Only its S3 is reached from elsewhere: the other ports
# ask for no key.
#
# What it has said to be stored is on the disk, also after a power cut: the names of the objects are in
# SQLite, which syncs each commit (its default, LevelDB, syncs none), and volumes sync each write.
#
# S3_BUCKET; SECRETS, the folder of the keys; DATA, that of the objects; MASTER_ADDRESS, host:port.port of its
# gRPC; further options of `weed server` as arguments.
set -eu
umask 077
secret() {
  cat "${SECRETS:-/run/secrets}/$1"
}
keys() {
  printf '[{"accessKey": "%s", "secretKey": "%s"}]' "$1" "$2"
}
identities=$(mktemp)
cat > "$identities" << JSON
{"identities": [
  {
    "name": "lumikb",
    "credentials": $(keys "$(secret s3_access_key)" "$(secret s3_secret_key)"),
    "actions": ["Read:$S3_BUCKET", "Write:$S3_BUCKET", "List:$S3_BUCKET"]
  },
  {
    "name": "root",
    "credentials": $(keys lumikb-root "$(secret s3_root_password)"),
    "actions": ["Admin", "Read", "Write", "List"]
  }
]}
JSON
export WEED_LEVELDB2_ENABLED=false WEED_SQLITE_ENABLED=true
export WEED_SQLITE_DBFILE="${DATA:=/data}/filer.db?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
# Ends when the server has taken it. compose.yaml's health check waits for that.
shell() {
  echo "$1" | weed shell -master="${MASTER_ADDRESS:-127.0.0.1:9333}" 2>&1
}
until shell fs.configure | grep -q '"fsync": *true'; do
  sleep 0.5
  shell 'fs.configure -locationPrefix=/buckets/ -fsync -apply' > /dev/null
done &
exec weed server -dir="$DATA" -ip=127.0.0.1 -ip.bind=127.0.0.1 -s3 -s3.ip.bind=0.0.0.0 \
  -s3.config="$identities" -s3.iam=false -s3.port.iceberg=0 -s3.port.lance=0 \
  -volume.max=0 -master.volumeSizeLimitMB=1024 -master.telemetry=false "$@"
