"""A small hub on this machine: repositories in memory, behind the HTTP paths that the huggingface_hub client calls.

It speaks the parts of the hub's API that an upload and a download need: ``repos/create``, ``validate-yaml``,
``branch``, ``preupload``, the batch endpoint of Git LFS, ``commit``, ``revision``, ``tree`` and ``resolve``.
"""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LARGE = 50_000  # bytes from which a file goes through LFS, as safetensors do on the hub


@dataclass
class Repository:
    private: bool = False
    branches: dict = field(default_factory=lambda: {"main": []})  # branch -> commits, newest last


@dataclass
class Commit:
    id: str
    message: str
    files: dict


@dataclass
class Hub:
    """What the server holds, and what it was asked."""

    tokens: dict = field(default_factory=lambda: {"good": "ann"})  # token -> user, who may write below that name
    repositories: dict = field(default_factory=dict)
    stored: dict = field(default_factory=dict)  # sha256 -> bytes, by LFS
    asked: list = field(default_factory=list)
    url: str = ""

    def files(self, name, branch="main"):
        commits = self.repositories[name].branches[branch]
        return commits[-1].files if commits else {}


def oid_of(content):
    """Return the id that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, *_):
        pass

    def do_POST(self):  # noqa: N802
        self._answer("POST")

    def do_GET(self):  # noqa: N802
        self._answer("GET")

    def do_HEAD(self):  # noqa: N802
        self._answer("HEAD")

    def do_PUT(self):  # noqa: N802
        self._answer("PUT")

    def _answer(self, method):
        self.body = self._read()
        path = urlsplit(self.path).path
        self.hub.asked.append(f"{method} {path}")
        pieces = [unquote(piece) for piece in path.strip("/").split("/")]
        if method == "PUT" and pieces[0] == "lfs":
            if hashlib.sha256(self.body).hexdigest() != pieces[1]:
                return self._refuse(400, "other bytes than were announced")
            self.hub.stored[pieces[1]] = self.body
            return self._send(b"")
        user = self.hub.tokens.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))
        if method == "POST" and user is None:
            return self._refuse(401, "Invalid username or password.")
        if pieces == ["api", "validate-yaml"]:
            return self._json({"errors": [], "warnings": []})
        if pieces == ["api", "repos", "create"]:
            return self._create(user)
        if pieces[:2] == ["api", "models"]:
            return self._of_model(method, "/".join(pieces[2:4]), pieces[4:], user)
        if pieces[2:] == ["info", "lfs", "objects", "batch"]:
            return self._batch()
        if pieces[2] == "resolve":
            return self._resolve("/".join(pieces[:2]), pieces[3], "/".join(pieces[4:]))
        return self._refuse(404, "no such path")

    def _read(self):
        """Return the body: of a length that is told first, or in chunks that each tell theirs."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _create(self, user):
        asked = json.loads(self.body)
        owner = asked.get("organization") or user
        name = f"{owner}/{asked['name']}"
        if owner != user:
            return self._refuse(403, f"You don't have the rights to create a model under the namespace {owner}")
        if name in self.hub.repositories:
            return self._refuse(409, "You already created this model repo", {"url": f"{self.hub.url}/{name}"})
        private = asked.get("private") or asked.get("visibility") == "private"
        self.hub.repositories[name] = Repository(private=bool(private))
        return self._json({"url": f"{self.hub.url}/{name}", "name": name})

    def _of_model(self, method, name, rest, user):
        repository = self.hub.repositories.get(name)
        if repository is None:
            return self._refuse(404, "Repository not found", error="RepoNotFound")
        if repository.private and user is None:
            return self._refuse(401, "Repository not found")
        kind, branch = rest if len(rest) == 2 else ("revision", "main")
        if method == "POST" and kind == "branch":
            if branch in repository.branches:
                return self._refuse(409, "Reference already exists")
            repository.branches[branch] = list(repository.branches["main"])
            return self._json({})
        commits = repository.branches.get(branch)
        if commits is None:  # an id of a commit
            commits = [each for one in repository.branches.values() for each in one if each.id == branch]
            if not commits:
                return self._refuse(404, "Invalid rev id", error="RevisionNotFound")
        files = commits[-1].files if commits else {}
        if kind == "commit":
            return self._commit(name, repository, branch, files)
        sha = commits[-1].id if commits else "0" * 40
        return self._json(self._told(kind, name, repository, files, sha))

    def _told(self, kind, name, repository, files, sha):
        """Return what is told of the files of a branch."""
        if kind == "preupload":
            return {"files": [
                {"path": each["path"], "uploadMode": "lfs" if each["size"] >= LARGE else "regular",
                 "shouldIgnore": False, "oid": oid_of(files[each["path"]]) if each["path"] in files else None}
                for each in json.loads(self.body)["files"]
            ]}  # fmt: skip
        if kind == "tree":
            return [
                {"type": "file", "path": each, "size": len(found), "oid": oid_of(found)}
                for each, found in files.items()
            ]  # fmt: skip
        siblings = [{"rfilename": each} for each in files]
        return {"id": name, "sha": sha, "private": repository.private, "siblings": siblings, "tags": []}

    def _batch(self):
        objects = json.loads(self.body)["objects"]
        return self._json({"transfer": "basic", "objects": [
            {"oid": each["oid"], "size": each["size"],
             "actions": {"upload": {"href": f"{self.hub.url}/lfs/{each['oid']}", "header": {}}}}
            for each in objects
        ]})  # fmt: skip

    def _commit(self, name, repository, branch, before):
        files, message = dict(before), ""
        for line in self.body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.hub.stored[value["oid"]]
            else:
                return self._refuse(400, f"unknown key {entry['key']}")
        marks = [message, *(f"{path} {oid_of(found)}" for path, found in sorted(files.items()))]
        sha = hashlib.sha1("\n".join(marks).encode()).hexdigest()
        repository.branches[branch].append(Commit(id=sha, message=message, files=files))
        return self._json({"commitUrl": f"{self.hub.url}/{name}/commit/{sha}", "commitOid": sha, "success": True})

    def _resolve(self, name, revision, path):
        for commits in self.hub.repositories[name].branches.values():
            for commit in commits:
                if commit.id == revision and path in commit.files:
                    found = commit.files[path]
                    return self._send(found, {"X-Repo-Commit": revision, "ETag": f'"{oid_of(found)}"'})
        return self._refuse(404, "Entry not found", error="EntryNotFound")

    def _json(self, value):
        self._send(json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _refuse(self, status, said, more=None, *, error=None):
        headers = {"Content-Type": "application/json", "X-Error-Message": said}
        headers |= {"X-Error-Code": error} if error else {}
        self._send(json.dumps({"error": said, **(more or {})}).encode(), headers, status)

    def _send(self, content, headers=None, status=200):
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


@contextmanager
def running():
    """Yield a hub that answers on a free port of this machine."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Mine", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
