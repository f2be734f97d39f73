"""Every file of Debian's libonnx-testdata is told by the daemon with its size or with a reason, and the daemon lives on."""
import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from daemon import Daemon


def testdata():
    """The package's folder and how many models it has."""
    listed = subprocess.run(["dpkg", "-L", "libonnx-testdata"], check=True, capture_output=True, text=True).stdout.split("\n")
    models = [path for path in listed if path.endswith(".onnx")]
    return os.path.commonpath(models), len(models)


class Testdata(unittest.TestCase):
    def test_all_files_are_told_with_a_size_or_a_reason(self):
        folder, count = testdata()
        with Daemon(devices=["host:a=64MiB"], model_dirs=[folder]) as daemon:
            pid = daemon.core_pid()
            items, cursor = [], ""
            while cursor is not None:
                page = daemon.get("/api/model/available?limit=20" + (f"&cursor={cursor}" if cursor else "")).ok()
                items += page["items"]
                cursor = page["nextCursor"]
            self.assertEqual(len({item["path"] for item in items}), count)
            for item in items:
                with self.subTest(item["path"]):
                    self.assertTrue(item.get("predictedBytes", 0) > 0 or item["problem"]["detail"])
            self.assertEqual(daemon.core_pid(), pid)
            self.assertTrue(daemon.get("/api/audit").ok()["ok"])


if __name__ == "__main__":
    unittest.main()
