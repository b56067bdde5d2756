"""Make LumiKB's bucket, as root of the S3 server; in LumiKB's image. Can be run again."""

import os
from pathlib import Path

import boto3
from botocore.config import Config

SECRETS = Path(os.environ.get("SECRETS", "/run/secrets"))


def main() -> None:
    root = boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT_URL"],
        aws_access_key_id="lumikb-root",
        aws_secret_access_key=(SECRETS / "s3_root_password").read_text().strip(),
        region_name=os.environ.get("S3_REGION", "us-east-1"),
        config=Config(retries={"mode": "standard", "total_max_attempts": 10}),
    )
    names = {bucket["Name"] for bucket in root.list_buckets()["Buckets"]}
    if os.environ["S3_BUCKET"] not in names:
        root.create_bucket(Bucket=os.environ["S3_BUCKET"])


if __name__ == "__main__":
    main()
