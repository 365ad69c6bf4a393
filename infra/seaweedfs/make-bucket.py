"""Wait until SeaweedFS keeps an object, and make the bucket of ``RECON_STORE``.

Its own health page is green before it can store anything.
"""

from __future__ import annotations

import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from workers.settings import load_settings

WAIT_S = 120


def main() -> None:
    settings = load_settings()
    if settings.bucket is None:
        raise SystemExit("RECON_STORE names no bucket")
    name = settings.bucket[0]
    config = Config(connect_timeout=2, read_timeout=5, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})
    client = boto3.client("s3", endpoint_url=settings.s3_endpoint, region_name=settings.s3_region or "us-east-1", config=config)
    end_s = time.monotonic() + WAIT_S
    while True:
        try:
            if name not in [row["Name"] for row in client.list_buckets().get("Buckets", [])]:
                client.create_bucket(Bucket=name)
            client.put_object(Bucket=name, Key="ready", Body=b"yes")
            if client.get_object(Bucket=name, Key="ready")["Body"].read() == b"yes":
                return
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > end_s:
                raise SystemExit(f"{settings.s3_endpoint} keeps nothing after {WAIT_S} s: {error}") from None
            sys.stderr.write(f"waiting for {settings.s3_endpoint}: {error}\n")
            time.sleep(1)


if __name__ == "__main__":
    main()
