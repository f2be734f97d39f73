#!/usr/bin/env python3
"""The git hook of `./dev hook`, in a clone of its own: what is staged is judged, and nothing else."""
import os
import shutil
import subprocess
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
SOURCE = "src/base/result.cpp"
GOOD = "\n// One more line, as the house writes it.\n"
BADLY_FORMATTED = "\nint   badly( int x ){return x ;}\n"
UNTIDY = "\n// TO" "DO: tidy finds this word.\n"


class Hook(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if shutil.which("git") is None or subprocess.run(["git", "-C", ROOT, "rev-parse", "HEAD"], capture_output=True, check=False).returncode != 0:
            raise unittest.SkipTest("not a git clone")
        cls.folder = tempfile.mkdtemp(prefix="vramd-hook-")
        cls.clone = os.path.join(cls.folder, "clone")
        subprocess.run(["git", "clone", "-q", "--shared", ROOT, cls.clone], check=True, capture_output=True)
        told = subprocess.run(["./dev", "hook"], cwd=cls.clone, capture_output=True, text=True, check=True)
        assert "pre-commit" in told.stdout, told

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    def setUp(self):
        self.git("reset", "-q", "--hard")
        self.head = self.git("rev-parse", "HEAD").stdout

    def git(self, *words, check=True):
        # A hook's own git sets these, should this test run in one.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        return subprocess.run(["git", "-c", "user.name=Test", "-c", "user.email=test@localhost", *words], cwd=self.clone, capture_output=True,
                              text=True, check=check, env=environment)

    def append(self, text, path=SOURCE):
        with open(os.path.join(self.clone, path), "a", encoding="utf-8") as file:
            file.write(text)

    def restore(self, path=SOURCE):
        with open(os.path.join(self.clone, path), "w", encoding="utf-8") as file:
            file.write(self.git("show", f"HEAD:{path}").stdout)

    def passes(self):
        told = self.git("commit", "-qm", "Try", check=False)
        self.assertEqual(told.returncode, 0, told)
        self.assertNotEqual(self.git("rev-parse", "HEAD").stdout, self.head)

    def refused(self, words):
        told = self.git("commit", "-qm", "Try", check=False)
        self.assertNotEqual(told.returncode, 0, told)
        self.assertIn(words, told.stdout + told.stderr)
        self.assertEqual(self.git("rev-parse", "HEAD").stdout, self.head)

    def test_a_well_formatted_file_passes(self):
        self.append(GOOD)
        self.git("add", SOURCE)
        self.passes()

    def test_a_badly_formatted_file_is_refused(self):
        self.append(BADLY_FORMATTED)
        self.git("add", SOURCE)
        self.refused("Not formatted: ./dev fmt")

    def test_what_tidy_finds_is_refused(self):
        self.append(UNTIDY)
        self.git("add", SOURCE)
        self.refused(SOURCE)

    def test_what_is_staged_counts_and_not_what_lies_in_the_folder(self):
        self.append(GOOD)
        self.git("add", SOURCE)
        self.append(BADLY_FORMATTED)
        self.passes()

    def test_a_bad_file_that_was_staged_is_refused_though_it_was_mended_since(self):
        self.append(BADLY_FORMATTED)
        self.git("add", SOURCE)
        self.restore()
        self.refused("Not formatted")

    def test_a_file_that_is_no_source_passes(self):
        self.append("\nOne more line.\n", "CHANGELOG.md")
        self.git("add", "CHANGELOG.md")
        self.passes()


if __name__ == "__main__":
    unittest.main()
