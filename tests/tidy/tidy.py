#!/usr/bin/env python3
"""The house checks itself: layout, words, sizes and include directions, as ARCHITECTURE.md states them.

Each rule is a function from a `Tree` (the files of a checkout, as text) to findings, so that tidy_test.py can hold every rule against a
tree of a few lines. Deterministic: files are visited in order, nothing depends on the machine. Prints `file:line: finding`, exits 1.
"""
import argparse
import os
import re
import subprocess
import sys
from dataclasses import dataclass

from rules_code import code_rules
from rules_tree import tree_rules

SKIPPED_FOLDERS = {".git", "build", "node_modules", ".cache", "__pycache__", "state"}
TEXT_SUFFIXES = (".cpp", ".hpp", ".py", ".sh", ".md", ".txt", ".cmake", ".json", ".toml", ".yml", ".service", ".S")
TEXT_NAMES = {"dev", "run", "test", "bench", "pre-commit", ".clang-format", ".gitignore"}


@dataclass(frozen=True)
class Finding:
    """One broken rule, at a line (0: the whole file)."""

    path: str
    line: int
    words: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.words}" if self.line else f"{self.path}: {self.words}"


class Tree:
    """A checkout as {relative path: text}, sorted."""

    def __init__(self, files):
        self.files = dict(sorted(files.items()))

    def having(self, *suffixes):
        """The (path, text) pairs whose path ends so."""
        return [(path, text) for path, text in self.files.items() if path.endswith(suffixes)]


def is_text(path):
    name = os.path.basename(path)
    return name.endswith(TEXT_SUFFIXES) or name in TEXT_NAMES or path == ".ci/run"


def listed_files(root):
    """What git knows or would take up (nothing ignored); without git, every file that is no build output."""
    try:
        listing = subprocess.run(["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                                 check=True, capture_output=True, text=True).stdout
        if os.path.exists(os.path.join(root, ".git")):
            return [name for name in listing.split("\0") if name]
    except (OSError, subprocess.CalledProcessError):
        pass
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED_FOLDERS)
        found += [os.path.relpath(os.path.join(folder, name), root) for name in names]
    return found


def read_tree(root):
    files = {}
    for path in listed_files(root):
        if not is_text(path):
            continue
        try:
            with open(os.path.join(root, path), encoding="utf-8") as file:
                files[path] = file.read()
        except FileNotFoundError:  # Removed, and not yet staged so.
            continue
        except UnicodeDecodeError:
            files[path] = ""
    return Tree(files)


def check(tree):
    """Every rule over the whole tree, as sorted findings."""
    findings = []
    for rule in code_rules() + tree_rules():
        findings += [Finding(*found) for found in rule(tree)]
    return sorted(findings, key=lambda found: (found.path, found.line, found.words))


def shell_findings(root, tree):
    """`bash -n` over every script."""
    findings = []
    for path, text in tree.files.items():
        if path.endswith(".sh") or text.startswith(("#!/usr/bin/env bash", "#!/bin/sh", "#!/bin/bash")):
            done = subprocess.run(["bash", "-n", os.path.join(root, path)], capture_output=True, text=True, check=False)
            if done.returncode:
                findings.append(Finding(path, 0, "bash cannot read it: " + " ".join(done.stderr.split())))
    return findings


def main(arguments):
    parser = argparse.ArgumentParser(description="The house's rules, checked.")
    parser.add_argument("--root", default=os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
    parser.add_argument("--only", nargs="*", help="report only what concerns these files")
    options = parser.parse_args(arguments)
    root = os.path.abspath(options.root)
    tree = read_tree(root)
    findings = check(tree) + shell_findings(root, tree)
    if options.only is not None:
        findings = [found for found in findings if found.path in options.only]
    for found in findings:
        print(found)
    print(f"tidy: {len(tree.files)} files, {len(findings)} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
