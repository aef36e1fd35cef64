"""`/version`: which release of the API this is."""

from __future__ import annotations

import platform
import sys

import sampan
from sampan.apimachinery.http import Response
from sampan.apiserver import answers
from sampan.apiserver.backend import Backend
from sampan.apiserver.context import RequestContext

_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


async def version(ctx: RequestContext, backend: Backend) -> Response:
    """As `k8s.io/apimachinery/pkg/version.Info`."""
    major, minor, *_ = sampan.KUBERNETES_VERSION.lstrip("v").split(".")
    machine = _MACHINES.get(platform.machine(), platform.machine())
    return answers.document({
        "major": major, "minor": minor, "gitVersion": f"v{sampan.KUBERNETES_VERSION.lstrip('v')}+sampan",
        "gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{sys.version_info[0]}.{sys.version_info[1]}", "compiler": "cpython",
        "platform": f"linux/{machine}",
    })
