"""A hub on this machine: what huggingface_hub asks of one, from a folder.

Here: repositories as folders `org/name/files`, one revision each, on a random
port of the loopback interface. No network, no tokens, no large-file service."""

import contextlib
import hashlib
import http.server
import json
import threading
import urllib.parse


@contextlib.contextmanager
def serve(root):
    """Serves the repositories below `root`.

    Yields:
        (address "http://127.0.0.1:PORT", list of (method, path) of requests).
    """
    seen = []
    handler = type("Handler", (_Handler,), {"root": root, "seen": seen})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self._answer()

    def do_GET(self):
        self._answer()

    def _answer(self):
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        self.seen.append((self.command, path))
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            return self._api(parts[2:4], parts[4:])
        if parts[2:3] == ["resolve"]:
            return self._file(parts[:2], parts[3], "/".join(parts[4:]))
        return self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _repo(self, names):
        folder = self.root.joinpath(*names)
        if folder.is_dir():
            return folder
        self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        return None

    def _api(self, names, rest):
        folder = self._repo(names)
        if folder is None:
            return None
        commit = _commit(folder)
        if rest and rest[1] not in ("main", commit):
            headers = {"X-Error-Code": "RevisionNotFound"}
            return self._send(404, b"{}", headers)
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        if rest[:1] == ["tree"]:
            content = [
                {
                    "type": "file",
                    "path": p.relative_to(folder).as_posix(),
                    "size": p.stat().st_size,
                    "oid": _digest(p.read_bytes()),
                }
                for p in files
            ]
        else:
            content = {
                "id": "/".join(names),
                "sha": commit,
                "siblings": [
                    {"rfilename": p.relative_to(folder).as_posix()}
                    for p in files
                ],
            }
        return self._send(
            200,
            json.dumps(content).encode(),
            {"Content-Type": "application/json"},
        )

    def _file(self, names, revision, file):
        folder = self._repo(names)
        if folder is None:
            return None
        path = folder / file
        if not path.is_file():
            return self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
        data = path.read_bytes()
        headers = {
            "ETag": f'"{_digest(data)}"',
            "X-Repo-Commit": _commit(folder),
            "Accept-Ranges": "bytes",
        }
        return self._send(200, data, headers)

    def _send(self, status, data, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


def _digest(data):
    return hashlib.sha1(data).hexdigest()


def _commit(folder):
    return _digest(str(folder).encode())
