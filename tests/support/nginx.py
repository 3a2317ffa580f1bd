"""An nginx in front of a server."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.lacking import lacking
from tests.support.ports import free_port

# Its defaults otherwise: HTTP/1.0 to the server, buffering on.
CONFIG = """
daemon off; master_process off; worker_processes 1; error_log {folder}/error.log; pid {folder}/pid;
events {{ worker_connections 256; }}
http {{
  access_log off; gzip on; gzip_types *; gzip_min_length 1;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {http}
  server {{
    listen 127.0.0.1:{port};
    {location}
  }}
}}
"""
LOCATION = "location / {{ proxy_pass {url}; proxy_read_timeout {read_timeout_s}s; proxy_set_header Host localhost; }}"


@contextmanager
def nginx(url: str, folder: Path, *, read_timeout_s: int = 60, location: str = "", http: str = "") -> Iterator[str]:
    """An nginx in front of a server; its address."""
    location = location or LOCATION.format(url=url, read_timeout_s=read_timeout_s)
    binary = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/bin") or shutil.which("nginx")
    if binary is None:
        lacking("nginx", "apt-get install nginx")
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(CONFIG.format(folder=folder, port=port, location=location, http=http))
    process = subprocess.Popen(
        [str(binary), "-p", str(folder), "-c", str(config), "-e", str(folder / "error.log")], stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                assert process.poll() is None, (folder / "error.log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=10)
