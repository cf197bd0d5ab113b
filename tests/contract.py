"""`make contract`: schemathesis reads the local API's own description and tries to find what it does not say.

Starts the real server, lets schemathesis send requests made from the description and against it, and ends with 1 on
an answer of 5xx, or one whose status, type or shape the description does not have.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from conftest import environment

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=60, help="requests for each route")
    wish = parser.parse_args()
    tool = shutil.which("st", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if tool is None:
        print("schemathesis is not installed: pip install schemathesis")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "vidu_run", "serve", "--port", "0", "--folder", folder, "--links", "stand-in"]
        server = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        try:
            address = urlsplit(server.stdout.readline().strip())
            description = f"{address.scheme}://{address.netloc}/openapi.json"
            asked = ["--checks", CHECKS, "--max-examples", str(wish.examples), "--workers", "1", "--no-color"]
            # In its folder: schemathesis keeps a cache where it is started.
            return subprocess.run([tool, "run", description, *asked], cwd=folder, check=False).returncode
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(30)


if __name__ == "__main__":
    sys.exit(main())
