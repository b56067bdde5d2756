#!/bin/bash
# Run once by the image of PostgreSQL, when it has made an empty cluster: LumiKB's settings, roles and
# database (compose.yaml mounts what is read here). The tables are made by `manage.py migrate`.
set -eu
# Replaced and started again later, the server reads the file anew.
echo "include '/etc/lumikb/postgresql.conf'" >> "$PGDATA/postgresql.conf"

sql() {
  psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username postgres "$@"
}
sql --file /etc/lumikb/roles.sql --file /run/secrets/role_passwords.sql
sql --command "CREATE DATABASE lumikb OWNER lumikb"
sql --dbname lumikb --file /etc/lumikb/grants.sql
