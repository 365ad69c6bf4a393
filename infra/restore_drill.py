"""``python infra/restore_drill.py BACKUP OUT``: prove that a backup is good for something.

RECON_DATABASE and RECON_STORE name an empty database and bucket for the purpose, never those in use. The backup is restored into them,
an API serves them, and every result of every job that is done is downloaded into OUT/JOB, each checked by its SHA-256.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from sqlalchemy import select

from api.client import Recon
from api.keys import make_key
from workers.backup import restore
from workers.database import Database
from workers.models import Owner
from workers.settings import load_settings


def drill(backup: Path, out: Path) -> dict[str, Any]:
    """What was found: jobs, results and their bytes, seconds of the restore."""
    settings = load_settings()
    restored = restore(settings, backup)
    database = Database(settings.database_url)
    with database.writing() as session:
        keys = [make_key(session, owner, "drill", ("read",))[1] for owner in session.scalars(select(Owner.id).order_by(Owner.id))]
    database.close()
    done, files = 0, []
    with tempfile.TemporaryDirectory(prefix="recon-drill-") as home:
        command = [sys.executable, "-m", "recon", "serve", "--workers", "0", "--port", "0", "--json"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "RECON_HOME": home})  # noqa: S603
        try:
            assert server.stdout is not None
            url = json.loads(server.stdout.readline() or '{"url": ""}')["url"]
            if not url:
                raise SystemExit("the API did not start: its reason is above")
            for key in keys:
                with Recon(url, key) as recon:
                    for job in recon.jobs("done"):
                        done += 1
                        files += recon.download(job["id"], out / job["id"])
        finally:
            server.terminate()
            server.communicate(timeout=30)
    return {
        "backup": str(restored.folder), "owners": len(keys), "jobs_done": done, "files": len(files), "objects": restored.objects,
        "bytes": sum((out / file).stat().st_size for file in files),
    }  # fmt: skip


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    sys.stdout.write(json.dumps(drill(Path(sys.argv[1]), Path(sys.argv[2])), indent=1) + "\n")
