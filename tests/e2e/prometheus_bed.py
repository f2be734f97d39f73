"""A real Prometheus for a test: scrapes one daemon every second with the rules of packaging/prometheus.

It is there where Debian's package prometheus is; who needs it skips in words where it is not (`needed`).
"""
import http.client
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import unittest
import urllib.parse

from daemon import ROOT

RULES = os.path.join(ROOT, "packaging", "prometheus")
READY_SECONDS = 120


def needed(program):
    """Skips the test where the package prometheus is missing."""
    return unittest.skipUnless(shutil.which(program), f"{program} is missing: apt-get install prometheus")


class Prometheus:
    """`with Prometheus(daemon.port) as prometheus:`; ended, and its folder removed, at the end."""

    def __init__(self, scraped_port):
        self.folder = tempfile.mkdtemp(prefix="vramd-prometheus-")
        self.scraped_port, self.port, self.process, self.reader = scraped_port, 0, None, None
        self.said = []

    def __enter__(self):
        config = os.path.join(self.folder, "prometheus.yml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n"
                       f"rule_files: [{RULES}/vramd-records.yml, {RULES}/vramd-alerts.yml]\n"
                       "scrape_configs:\n  - job_name: vramd\n    static_configs:\n"
                       f"      - targets: ['127.0.0.1:{self.scraped_port}']\n")
        self.process = subprocess.Popen(["prometheus", f"--config.file={config}", f"--storage.tsdb.path={self.folder}/data", "--web.listen-address=127.0.0.1:0"],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            self.read_ready()
        except BaseException:
            self.__exit__()
            raise
        return self

    def read_ready(self):
        """Its log says when it serves; where, the kernel knows, for it was given any port."""
        for line in self.process.stderr:
            self.said.append(line)
            if "Server is ready" in line:
                break
        else:
            raise AssertionError(f"Prometheus ended: {''.join(self.said[-20:])}")
        self.reader = threading.Thread(target=lambda: self.said.extend(self.process.stderr), daemon=True)
        self.reader.start()
        self.port = listening_port(self.process.pid)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        if self.reader:
            self.reader.join()
        self.process.stderr.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def ask(self, path, **query):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=READY_SECONDS)
        try:
            connection.request("GET", f"{path}?{urllib.parse.urlencode(query)}")
            told = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        assert told["status"] == "success", f"{query}: {told}"
        return told["data"]

    def query(self, expression):
        """[(labels, value)] of the expression as it is now."""
        return [(one["metric"], float(one["value"][1])) for one in self.ask("/api/v1/query", query=expression)["result"]]

    def wait_for(self, expression, seconds=READY_SECONDS):
        """Until the expression has a sample; what it has then. After a scrape that a busy machine made too slow it has none until the next."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.query(expression)
            if found:
                return found
        raise AssertionError(f"{expression} had no sample within {seconds} s")


def listening_port(pid):
    """The TCP port that the process listens on."""
    sockets = set()
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            sockets.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        except OSError:
            continue
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as file:
            for line in file.readlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:
                    return int(fields[1].rsplit(":", 1)[1], 16)
    raise AssertionError(f"process {pid} listens nowhere")
