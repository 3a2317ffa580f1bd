"""Builds the chat page into the package where its sources and Node are; without it the app says how to get it."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before an sdist or a wheel is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """`version` is "editable" where the page is served from the sources: `make page` builds it there."""
        sources = Path(self.root, "apps", "react")
        # An sdist has the page as it was built, and of the sources the hook alone.
        if version == "editable" or not (sources / "package.json").is_file():
            return
        npm = shutil.which("npm")
        if npm is None:
            self.app.display_warning("npm is not there: the package will have no chat page. Install Node 20 for it.")
            return
        if not (sources / "node_modules").is_dir():
            subprocess.run([npm, "ci", "--no-progress"], cwd=sources, check=True)
        subprocess.run([npm, "run", "--silent", "build", "--", "--logLevel", "warn"], cwd=sources, check=True)
