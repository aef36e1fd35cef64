"""The programs that upstream's tests run in their pods, as far as sampan's do: one file, the standard library alone.

    pause | netexec [HTTP [UDP]] | liveness SECONDS | grpc PORT | dig TYPE NAME [tcp] | args …
    registry PORT USER PASSWORD

netexec answers over HTTP: /hostname /clientip /echo?msg= /healthz /redirect?loc= /write /read /shell?cmd= /exit?code=
and /dial?host=&port=&protocol=&request=&tries=&within=, and over UDP: hostname, clientip, echo WORDS.
"""

import base64
import hashlib
import http.server
import io
import json
import os
import signal
import socket
import socketserver
import struct
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse
import urllib.request

BEGAN = time.monotonic()
WRITTEN = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fails_after_s = 0.0

    def log_message(self, *_):
        pass

    def do_GET(self):
        length = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(length) if length else b""
        parts = urllib.parse.urlsplit(self.path)
        query = {key: values[0] for key, values in urllib.parse.parse_qs(parts.query).items()}
        if parts.path == "/redirect":
            return self.say(302, "", ("Location", query["loc"]))
        if parts.path == "/exit":
            os._exit(int(query.get("code", 0)))
        known = getattr(self, "on_" + (parts.path.strip("/").replace("-", "_") or "root"), None)
        if known is None:
            return self.say(200, json.dumps({"path": parts.path, "method": self.command, "body": body.decode()}))
        return known(query)

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.do_GET  # every method is answered alike
        raise AttributeError(name)

    def say(self, status, text, *headers):
        data = text.encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def on_hostname(self, _):
        self.say(200, socket.gethostname())

    def on_clientip(self, _):
        self.say(200, f"{self.client_address[0]}:{self.client_address[1]}")

    def on_echo(self, query):
        self.say(int(query.get("code", 200)), query.get("msg", ""))

    def on_healthz(self, _):
        late = self.fails_after_s and time.monotonic() - BEGAN > self.fails_after_s
        self.say(500 if late else 200, "late" if late else "ok")

    def on_write(self, _):
        WRITTEN.append(self.command)
        self.say(200, "")

    def on_read(self, _):
        self.say(200, json.dumps(WRITTEN))

    def on_shell(self, query):
        done = subprocess.run(["sh", "-c", query["cmd"]], capture_output=True, text=True)
        self.say(200, json.dumps({"output": done.stdout, "error": done.stderr}))

    def on_dial(self, query):
        answers, failures = [], []
        for _ in range(int(query.get("tries", 1))):
            try:
                target = (query["protocol"], query["host"], int(query["port"]), query["request"])
                answers.append(ask(*target, float(query.get("within", 2))))
            except OSError as error:
                failures.append(str(error))
        self.say(200, json.dumps({"responses": answers, "errors": failures}))


def ask(protocol, host, port, request, within):
    if protocol == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(within)
            client.sendto(request.encode(), (host, port))
            return client.recv(2048).decode()
    with urllib.request.urlopen(f"http://{host}:{port}/{request}", timeout=within) as answer:
        return answer.read().decode()


class Datagrams(socketserver.BaseRequestHandler):
    def handle(self):
        data, reply = self.request
        command, _, words = data.decode().strip().partition(" ")
        said = {"hostname": socket.gethostname(), "clientip": self.client_address[0], "echo": words}.get(command, "")
        reply.sendto(said.encode(), self.client_address)


class Web(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


def netexec(http_port="8080", udp_port="8081"):
    server = socketserver.ThreadingUDPServer(("0.0.0.0", int(udp_port)), Datagrams)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Web(("0.0.0.0", int(http_port)), Handler).serve_forever()


def liveness(seconds):
    Handler.fails_after_s = float(seconds)
    Web(("0.0.0.0", 8080), Handler).serve_forever()


def pause():
    signal.pause()


def args(*words):
    print(json.dumps(list(words)))


class Registry(http.server.BaseHTTPRequestHandler):
    """A registry that gives one image, of one file, to who knows the password, under whatever name it is asked for."""

    secret = ""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.headers.get("authorization") != f"Basic {self.secret}":
            return self.say(401, b"", ("WWW-Authenticate", 'Basic realm="agnhost"'))
        kind, _, asked = self.path.rpartition("/")
        if self.path.rstrip("/") == "/v2":
            return self.say(200, b"{}")
        blobs = image()
        data = blobs["manifest"] if kind.endswith("/manifests") else blobs.get(asked, b"")
        is_manifest = kind.endswith("/manifests")
        media = "application/vnd.oci.image.manifest.v1+json" if is_manifest else "application/octet-stream"
        return self.say(200 if data else 404, data, ("Content-Type", media), ("Docker-Content-Digest", digest(data)))

    do_HEAD = do_GET  # noqa: N815

    def say(self, status, data, *headers):
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(len(data)))):
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


def digest(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def image():
    """The blobs of an image whose entry point is busybox, by digest; its manifest under its own name."""
    with open("/bin/sh", "rb") as file:
        binary = file.read()
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as archive:
        entry = tarfile.TarInfo("bin/busybox")
        entry.mode, entry.size = 0o755, len(binary)
        archive.addfile(entry, io.BytesIO(binary))
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [digest(layer.getvalue())]},
        "config": {"Entrypoint": ["/bin/busybox", "sh", "-c", "echo from the registry; exec /bin/busybox sleep 1000"]},
    }).encode()

    def described(media, data):
        return {"mediaType": f"application/vnd.oci.image.{media}", "digest": digest(data), "size": len(data)}

    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("config.v1+json", config), "layers": [described("layer.v1.tar", layer.getvalue())],
    }).encode()
    return {"manifest": manifest, digest(manifest): manifest, digest(config): config,
            digest(layer.getvalue()): layer.getvalue()}


def registry(port, user, password):
    Registry.secret = base64.b64encode(f"{user}:{password}".encode()).decode()
    Web(("0.0.0.0", int(port)), Registry).serve_forever()


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\x00" + bytes((len(name),)) + name + bytes((len(value),)) + value


def grpc(port):
    """grpc.health.v1.Health, always SERVING: just enough HTTP/2, whatever is asked."""
    listener = socket.create_server(("0.0.0.0", int(port)))
    while True:
        threading.Thread(target=grpc_connection, args=(listener.accept()[0],), daemon=True).start()


def grpc_connection(connection):
    stream = connection.makefile("rb")
    stream.read(24)
    connection.sendall(frame(4, 0, 0))
    while head := stream.read(9):
        length, kind, flags, number = int.from_bytes(head[:3], "big"), head[3], head[4], int.from_bytes(head[5:], "big")
        payload = stream.read(length)
        if kind == 4 and not flags & 1:
            connection.sendall(frame(4, 1, 0))
        elif kind == 6 and not flags & 1:
            connection.sendall(frame(6, 1, 0, payload))
        elif kind in (0, 1) and flags & 1:
            connection.sendall(
                frame(1, 4, number, b"\x88" + literal(b"content-type", b"application/grpc"))
                + frame(0, 0, number, b"\x00\x00\x00\x00\x02\x08\x01")
                + frame(1, 5, number, literal(b"grpc-status", b"0"))
            )


def dig(kind, name, transport="udp"):
    """Ask the first name server of /etc/resolv.conf about exactly this name; a line for each record."""
    types = {"A": 1, "CNAME": 5, "PTR": 12, "AAAA": 28, "SRV": 33}
    with open("/etc/resolv.conf") as lines:
        server = next(line.split()[1] for line in lines if line.startswith("nameserver"))
    question = b"".join(bytes((len(part),)) + part.encode() for part in name.strip(".").split(".")) + b"\x00"
    query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + question + struct.pack(">HH", types[kind], 1)
    if transport == "tcp":
        with socket.create_connection((server, 53), 3) as client:
            client.sendall(struct.pack(">H", len(query)) + query)
            stream = client.makefile("rb")
            data = stream.read(int.from_bytes(stream.read(2), "big"))
    else:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(3)
            client.sendto(query, (server, 53))
            data = client.recv(4096)
    at = 12 + len(question) + 4
    for _ in range(int.from_bytes(data[6:8], "big")):
        _, at = read_name(data, at)
        record, _, _, length = struct.unpack(">HHIH", data[at:at + 10])
        at += 10
        print(shown(data, at, record, length))
        at += length


def shown(data, at, record, length):
    if record in (1, 28):
        return socket.inet_ntop(socket.AF_INET if record == 1 else socket.AF_INET6, data[at:at + length])
    if record == 33:
        port = int.from_bytes(data[at + 4:at + 6], "big")
        return f"{port} {read_name(data, at + 6)[0]}"
    return read_name(data, at)[0]


def read_name(data, at):
    parts = []
    while data[at]:
        if data[at] >= 0xC0:
            rest, _ = read_name(data, int.from_bytes(data[at:at + 2], "big") & 0x3FFF)
            return ".".join([*parts, rest]), at + 2
        parts.append(data[at + 1:at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(parts), at + 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    globals()[sys.argv[1]](*sys.argv[2:])
