"""A little S3 server for tests: one bucket in memory, path-style, no signatures checked.

Knows what PyArrow asks for: HEAD, GET with ranges, PUT (plain, chunked, copied), DELETE, POST
?delete, ListObjectsV2 and multipart uploads. `refuse` names a part of keys whose PUT fails.
"""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


class Store(ThreadingHTTPServer):
    """`objects` maps keys to bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.refuse = "\0"

    def uri(self, folder: str) -> str:
        address = f"127.0.0.1%3A{self.server_port}"
        query = f"endpoint_override={address}&scheme=http&region=us-east-1"
        return f"s3://bucket/{folder}?{query}"


@contextmanager
def object_store() -> Iterator[Store]:
    """A running server."""
    with Store() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    server: Store

    def log_message(self, *args):
        pass

    def handle_expect_100(self):
        self.send_response_only(100)
        self.end_headers()
        self.wfile.flush()
        return True

    def _key(self):
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        assert bucket in ("bucket", "")
        return key, {k: v[0] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}

    def _body(self):
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            body = self._chunks()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return body
        plain = b""
        while size := int(body.partition(b"\r\n")[0].split(b";")[0], 16):
            _, _, body = body.partition(b"\r\n")
            plain, body = plain + body[:size], body[size + 2 :]
        return plain

    def _chunks(self):
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _send(self, status, body=b"", **headers):
        self.send_response(status)
        self.send_header("Last-Modified", DATE)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _missing(self):
        self._send(404, b"<Error><Code>NoSuchKey</Code></Error>")

    def do_HEAD(self):
        key, _ = self._key()
        if key and key not in self.server.objects:
            return self._missing()
        content = self.server.objects.get(key, b"")
        self._send(200, ETag=etag(content), Content_Length=str(len(content)))

    def do_GET(self):
        key, query = self._key()
        if not key:
            return self._list(query)
        if key not in self.server.objects:
            return self._missing()
        content = self.server.objects[key]
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if wanted is None:
            return self._send(200, content, ETag=etag(content))
        first, last = int(wanted[1]), min(int(wanted[2] or len(content)), len(content) - 1)
        span = f"bytes {first}-{last}/{len(content)}"
        self._send(206, content[first : last + 1], ETag=etag(content), Content_Range=span)

    def do_PUT(self):
        key, query = self._key()
        body = self._body()
        if self.server.refuse in key:
            return self._send(403, b"<Error><Code>QuotaExceeded</Code></Error>")
        if "partNumber" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = body
        elif key:
            self.server.objects[key] = body
        self._send(200, ETag=etag(body))

    def do_DELETE(self):
        key, query = self._key()
        self.server.uploads.pop(query.get("uploadId", ""), None)
        if "uploadId" not in query:
            self.server.objects.pop(key, None)
        self._send(204)

    def do_POST(self):
        key, query = self._key()
        body = self._body()
        if "delete" in query:
            for gone in re.findall(rb"<Key>(.*?)</Key>", body):
                self.server.objects.pop(gone.decode(), None)
            self._send(200, b"<DeleteResult></DeleteResult>")
        elif "uploads" in query:
            name = f"upload-{len(self.server.uploads)}"
            self.server.uploads[name] = {}
            answer = f"<UploadId>{name}</UploadId>"
            self._xml("InitiateMultipartUploadResult", answer)
        else:
            parts = self.server.uploads.pop(query["uploadId"])
            self.server.objects[key] = b"".join(parts[at] for at in sorted(parts))
            self._xml("CompleteMultipartUploadResult", f"<Key>{escape(key)}</Key>")

    def _list(self, query):
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        entries, folders = "", set()
        for key in sorted(k for k in self.server.objects if k.startswith(prefix)):
            head, found, _ = key[len(prefix) :].partition(delimiter or "\0")
            if found:
                folders.add(prefix + head + delimiter)
                continue
            content = self.server.objects[key]
            entries += (
                f"<Contents><Key>{escape(key)}</Key><Size>{len(content)}</Size>"
                "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            )
        for folder in sorted(folders):
            entries += f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>"
        self._xml("ListBucketResult", f"{entries}<IsTruncated>false</IsTruncated>")

    def _xml(self, name, inside):
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        head = '<?xml version="1.0" encoding="UTF-8"?>'
        self._send(200, f'{head}<{name} xmlns="{space}">{inside}</{name}>'.encode())


def etag(content: bytes) -> str:
    """As S3 has it for small objects."""
    return f'"{md5(content, usedforsecurity=False).hexdigest()}"'
