"""systemd's part towards a service, for tests: the socket of sd_notify(3), the store of descriptors, and the start of a service with what lies there."""
import os
import socket
import sys
import threading

from daemon import Daemon

# Puts the descriptors where sd_listen_fds(3) has them, and becomes the service: LISTEN_PID is the pid of this very process.
BECOME = """
import fcntl, os, sys
given = [int(word) for word in sys.argv[1].split(",") if word]
above = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 500) for descriptor in given]
for place, descriptor in enumerate(above):
    os.dup2(descriptor, 3 + place)
os.closerange(3 + len(above), 1024)
if above:
    os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(above)), LISTEN_FDNAMES=sys.argv[2])
os.execv(sys.argv[3], sys.argv[3:])
"""


class ServiceManager:
    """Takes what comes at all times, on a thread of its own."""

    def __init__(self, folder):
        self.path = os.path.join(folder, "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.store, self.said = [], []
        self.changed = threading.Condition()
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        while True:
            text, descriptors, _, _ = socket.recv_fds(self.socket, 4096, 8)
            if not text:
                return self.socket.close()
            lines = text.decode().split("\n")
            words = dict(line.split("=", 1) for line in lines)
            with self.changed:
                if words.get("FDSTORE") == "1":
                    self.store += [(words["FDNAME"], descriptor) for descriptor in descriptors]
                elif words.get("FDSTOREREMOVE") == "1":
                    for name, descriptor in self.store:
                        if name == words["FDNAME"]:
                            os.close(descriptor)
                    self.store = [one for one in self.store if one[0] != words["FDNAME"]]
                else:
                    self.said.append(words)
                self.changed.notify_all()

    def wait(self, until, seconds=60):
        with self.changed:
            assert self.changed.wait_for(lambda: until(self), seconds), f"it keeps {[name for name, _ in self.store]} and was told {self.said}"

    def read_all(self):
        """Returns once all is read that was sent before."""
        mark = {"MARK": str(len(self.said)) + os.urandom(4).hex()}
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(f"MARK={mark['MARK']}".encode(), self.path)
        self.wait(lambda manager: mark in manager.said)
        with self.changed:
            self.said.remove(mark)

    def blocks(self):
        return sorted(name for name, _ in self.store if name.startswith("b."))

    def start(self, daemon: Daemon):
        """Starts the daemon, or its next keeper, as systemd would."""
        if not hasattr(daemon, "own_command"):
            daemon.own_command = daemon.command
        else:
            daemon.log.close()
            daemon.process.stdout.close()
        self.read_all()
        with self.changed:
            numbers = tuple(descriptor for _, descriptor in self.store)
            names = ":".join(name for name, _ in self.store)
        daemon.descriptors = numbers
        daemon.command = [sys.executable, "-c", BECOME, ",".join(map(str, numbers)), names, *daemon.own_command]
        daemon.environment.update(NOTIFY_SOCKET=self.path, FDSTORE="4096")
        daemon.start()

    @staticmethod
    def kill(daemon: Daemon):
        """SIGKILL to the keeper, and no more of it."""
        daemon.process.kill()
        daemon.process.wait()
        daemon.default.close()

    def drop(self):
        """What becomes of the store when the service is stopped."""
        with self.changed:
            for _, descriptor in self.store:
                os.close(descriptor)
            self.store = []

    def close(self):
        self.drop()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.path)
        self.listener.join()
