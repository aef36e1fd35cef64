"""The streaming subresources, as routes."""

from __future__ import annotations

from sampan.api.resources import NODES, PODS, SERVICES
from sampan.apiserver.seams import Route
from sampan.apiserver.streams.logs import POD_LOG_OPTIONS, log
from sampan.apiserver.streams.port_forward import POD_PORT_FORWARD_OPTIONS, port_forward
from sampan.apiserver.streams.proxy import NODE_PROXY_OPTIONS, POD_PROXY_OPTIONS, SERVICE_PROXY_OPTIONS, proxy
from sampan.apiserver.streams.remote_command import POD_ATTACH_OPTIONS, POD_EXEC_OPTIONS, attach, exec_

_CONNECT = ("create", "get")
_ANY = ("", "create", "delete", "get", "patch", "update")

ROUTES: tuple[Route, ...] = (
    Route(PODS, "exec", _CONNECT, POD_EXEC_OPTIONS, exec_, long_running=True),
    Route(PODS, "attach", _CONNECT, POD_ATTACH_OPTIONS, attach, long_running=True),
    Route(PODS, "portforward", _CONNECT, POD_PORT_FORWARD_OPTIONS, port_forward, long_running=True),
    Route(PODS, "log", ("get",), POD_LOG_OPTIONS, log, long_running=True),
    Route(PODS, "proxy", _ANY, POD_PROXY_OPTIONS, proxy, long_running=True, any_subpath=True),
    Route(SERVICES, "proxy", _ANY, SERVICE_PROXY_OPTIONS, proxy, long_running=True, any_subpath=True),
    Route(NODES, "proxy", _ANY, NODE_PROXY_OPTIONS, proxy, long_running=True, any_subpath=True),
)
