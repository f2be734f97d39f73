"""Reading /api/events in tests: a stream taken apart into (id, type, data), and a reader that comes back as a browser does."""
import http.client
import json
import socket
import threading

STREAM = "/api/events"


class Stream:
    """One response of server-sent events. Iterating yields (number, type, data) until it ends; `pace` bytes are read at a time."""

    def __init__(self, connection, path, headers=None, pace=65536):
        self.connection, self.pace = connection, pace
        connection.request("GET", path, headers={"Accept": "text/event-stream", **(headers or {})})
        self.response = connection.getresponse()
        self.last_id = None

    def __iter__(self):
        rest = b""
        while True:
            piece = self.response.read1(self.pace)
            if not piece:
                return
            rest += piece
            *blocks, rest = rest.split(b"\n\n")
            for block in blocks:
                fields = dict(line.split(": ", 1) for line in block.decode().split("\n") if ": " in line and not line.startswith(":"))
                if "id" in fields:
                    self.last_id = int(fields["id"])
                if "data" in fields:
                    yield int(fields.get("id", 0)), fields["event"], json.loads(fields["data"])

    def close(self):
        self.response.close()
        self.connection.close()


def recorded(client_connection, **query):
    """All events up to now that the filters take, as a list."""
    words = "&".join(f"{name}={value}" for name, value in {"from": 0, "follow": "false", **query}.items())
    stream = Stream(client_connection, f"{STREAM}?{words}")
    try:
        assert stream.response.status == 200, stream.response.read()
        return list(stream)
    finally:
        stream.close()


class Follower(threading.Thread):
    """Follows from an event on, and comes back with Last-Event-ID whenever the connection ends, until it has seen `until`."""

    def __init__(self, connect, first, until, path=STREAM):
        super().__init__(daemon=True)
        self.connect, self.seen, self.until, self.path = connect, first - 1, until, path
        self.events, self.connections, self.failure = [], 0, None

    def run(self):
        try:
            while self.seen < self.until():
                connection = self.connect()
                try:
                    self.connections += 1
                    path = self.path if self.seen else f"{self.path}?from=1"
                    stream = Stream(connection, path, {"Last-Event-ID": str(self.seen)} if self.seen else {})
                    if stream.response.status != 200:
                        continue  # A core that is not ready yet says so in words.
                    for event in stream:
                        self.events.append(event)
                        self.seen = event[0]
                        if self.seen >= self.until():
                            return
                except (OSError, http.client.HTTPException, socket.timeout):
                    continue
                finally:
                    connection.close()
        except Exception as failure:  # pylint: disable=broad-except
            self.failure = failure
