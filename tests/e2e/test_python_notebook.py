#!/usr/bin/python3
"""What a notebook shows of the Python package's objects: tables of a real daemon's models and memory, in which no name becomes markup."""
import html
import html.parser
import os
import sys
import tempfile
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path[:0] = [os.path.join(ROOT, "python"), os.path.dirname(os.path.abspath(__file__))]
import vramd  # noqa: E402
from attach_files import write_safetensors  # noqa: E402
from daemon import Daemon  # noqa: E402


def elements_of(text):
    """The elements that a browser would make of the text, each opened and closed."""
    opened, seen = [], set()

    class Parser(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            opened.append(tag)
            seen.add(tag)

        def handle_endtag(self, tag):
            assert opened and opened.pop() == tag, (tag, text)

    parser = Parser()
    parser.feed(text)
    parser.close()
    assert not opened, opened
    return seen


class Notebook(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="vramd-notebook-")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.daemon = Daemon(devices=["host:a=64MiB"], model_dirs=[self.folder], door="unix").start()
        self.addCleanup(self.daemon.discard)
        self.addCleanup(self.daemon.stop)

    def test_a_notebook_shows_tables_and_no_name_becomes_markup(self):
        hostile = '<img src=x onerror="alert(1)">&\'/script>'
        escaped = html.escape(hostile)
        write_safetensors(os.path.join(self.folder, "hostile.safetensors"), [(hostile, [2, 3], [0] * 6), *((f"t{i}", [1], [1]) for i in range(60))])
        with vramd.connect(self.daemon.socket_path) as memory, memory.allocate("1MiB", purpose="a<b>&c") as made:
            model = memory.load("hostile", path="hostile.safetensors")
            tensor = model[hostile]
            shown = {"tensor": tensor._repr_html_(), "model": model._repr_html_(), "client": memory._repr_html_(), "models": memory.models()._repr_html_(),
                     "allocation": made._repr_html_(), "allocations": memory.allocations()._repr_html_()}
            for what, text in shown.items():
                with self.subTest(what=what):
                    tags = elements_of(text)
                    self.assertLessEqual(tags, {"table", "caption", "thead", "tbody", "tr", "th", "td", "div", "meter", "p"})
                    self.assertNotIn("<img", text)
            self.assertIn(f">{escaped}<", shown["tensor"])
            self.assertIn(">2 × 3<", shown["tensor"])
            self.assertIn(f">{escaped}<", shown["model"])
            self.assertIn("… and 11 more", shown["model"])
            self.assertIn("a&lt;b&gt;&amp;c", shown["allocation"])
            self.assertIn("a&lt;b&gt;&amp;c", shown["allocations"])
            self.assertRegex(shown["client"], r'<meter min="0" max="67108864" value="\d+" title="a, models: .* of 64\.0 MiB">')
            self.assertIn(">hostile<", shown["models"])
            self.assertIsInstance(memory.models(), list)
            del tensor, model
        self.assertIn("<p>", memory._repr_html_())  # Closed: what is wrong is told, nothing is raised.
        self.daemon.delete("/api/model/unload?name=hostile&keepCached=false").ok()


if __name__ == "__main__":
    unittest.main()
