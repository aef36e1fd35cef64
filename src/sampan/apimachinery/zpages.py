"""z-pages: `/statusz`, what a component is and since when it runs, and `/flagz`, how it was told to run. Pure.

Without an Accept header, or for text/plain, a page is text for people. Programs ask for a version,
`application/json;v=v1beta1;g=config.k8s.io;as=Statusz` (or Flagz; v1alpha1; application/yaml); anything else is 406.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import PurePath
from typing import Any, Final

import orjson

from sampan.apimachinery.http import Response
from sampan.apimachinery.object import Object

GROUP: Final = "config.k8s.io"
VERSIONS: Final = ("v1beta1", "v1alpha1")
_DEPRECATED: Final = '299 - "This version of the {} endpoint is deprecated. Please use a newer version."'
_WARNING: Final = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is "
    "for debugging purposes only."
)


def statusz(
    accept: str, component: str, release: str, times: tuple[datetime, datetime], paths: Iterable[str]
) -> Response:
    """`times`: when it began, and now. `release` as in 1.37.0."""
    began, now = times
    up_s = max(int((now - began).total_seconds()), 0)
    listed = sorted(set(paths))
    language = f"python{platform.python_version()}"
    emulated = ".".join(release.split(".")[:2])
    rows = {
        "Started": f"{began:%a %b %e %H:%M:%S UTC %Y}",
        "Up": f"{up_s // 3600} hr {up_s // 60 % 60:02} min {up_s % 60:02} sec",
        "Go version": language, "Binary version": release, "Emulation version": emulated, "Paths": " ".join(listed),
    }
    text = f"\n{component} statusz\n{_WARNING}\n\n" + "".join(f"{name}: {value}\n" for name, value in rows.items())
    return _answer(accept, "Statusz", text, component, {
        "startTime": f"{began:%Y-%m-%dT%H:%M:%SZ}", "uptimeSeconds": up_s, "goVersion": language,
        "binaryVersion": release, "emulationVersion": emulated, "paths": listed,
    })


def flagz(accept: str, component: str, flags: Mapping[str, str]) -> Response:
    shown = dict(sorted(flags.items()))
    text = f"\n{component} flags\n{_WARNING}\n\n" + "".join(f"{name}={value}\n" for name, value in shown.items())
    return _answer(accept, "Flagz", text, component, {"flags": shown})


def flags_of(config: Any) -> dict[str, str]:
    """A dataclass of settings as flags: those that are texts, numbers, switches, files or lists of these."""
    found = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, bool):
            value = str(value).lower()
        elif isinstance(value, tuple) and all(isinstance(one, str | int) for one in value):
            value = ",".join(map(str, value))
        elif not isinstance(value, str | int | float | PurePath):
            continue  # what is handed over in code is no flag, and a key in memory is nobody's business
        found[field.name.replace("_", "-")] = str(value)
    return found


def _answer(accept: str, kind: str, text: str, component: str, body: Object) -> Response:
    """In the first form that the caller takes."""
    for offer in accept.split(",") if accept.strip() else ("text/plain",):
        media, *rest = (part.strip() for part in offer.split(";"))
        parameters = dict(part.lower().split("=", 1) for part in rest if "=" in part and not part.startswith("q="))
        if media in ("text/plain", "text/*", "*/*") and parameters in ({}, {"charset": "utf-8"}):
            return Response(200, {"content-type": "text/plain; charset=utf-8"}, text.encode())
        version = parameters.get("v", "")
        if (
            media not in ("application/json", "application/yaml") or version not in VERSIONS
            or (parameters.get("g"), parameters.get("as")) != (GROUP, kind.lower())
        ):
            continue
        document = {"kind": kind, "apiVersion": f"{GROUP}/{version}", "metadata": {"name": component}, **body}
        headers = {"content-type": media}
        if version != VERSIONS[0]:
            headers["warning"] = _DEPRECATED.format(kind.lower())
        if media == "application/json":
            return Response(200, headers, orjson.dumps(document))
        import yaml  # few ask for it, and the server starts without

        return Response(200, headers, yaml.safe_dump(document, sort_keys=False).encode())
    taken = ", ".join(f"application/json;v={version};g={GROUP};as={kind}" for version in VERSIONS)
    message = f"only the following media types are accepted: text/plain, {taken}"
    return Response(406, {"content-type": "text/plain; charset=utf-8"}, f"{message}\n".encode())
