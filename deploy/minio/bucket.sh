#!/bin/sh
# Make the bucket, and a user who can do with it what LumiKB does, and nothing else. Can be run again.
set -eu
secret() {
  cat "/run/secrets/$1"
}
mc alias set store http://minio:9000 lumikb-root "$(secret minio_root_password)" > /dev/null
mc mb --ignore-existing "store/$S3_BUCKET"
cat > /tmp/policy.json << POLICY
{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::$S3_BUCKET"]},
    {
      "Effect": "Allow",
      "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
      "Resource": ["arn:aws:s3:::$S3_BUCKET/*"]
    }
  ]
}
POLICY
mc admin policy create store lumikb /tmp/policy.json
mc admin user add store "$(secret s3_access_key)" "$(secret s3_secret_key)"
# Attaching what is attached is an error for mc.
mc admin policy detach store lumikb --user "$(secret s3_access_key)" > /dev/null 2>&1 || true
mc admin policy attach store lumikb --user "$(secret s3_access_key)"
