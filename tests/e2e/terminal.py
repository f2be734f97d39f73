"""A real terminal for a test: tmux, with a shell in it, whose screen can be read and resized.

    with Terminal(columns=80, lines=24) as terminal:
        terminal.type("vramctl top\\n")
        terminal.until(lambda screen: "Processes" in screen)

Nothing waits for time: tmux copies what the programs write into a pipe, and each piece is a reason to look at the screen again.
"""
import os
import select
import shutil
import subprocess
import tempfile
import time

SECONDS = 90


class Terminal:
    """tmux on a socket of its own, without anybody's configuration. A context manager."""

    def __init__(self, columns=80, lines=24, environment=None):
        self.columns, self.lines = columns, lines
        self.folder = tempfile.mkdtemp(prefix="vramd-tmux-")
        clean = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TMUX", "COLUMNS", "LINES", "LC_ALL", "LANG")}
        self.environment = {**clean, "TERM": "xterm-256color", **(environment or {})}
        self.pipe = None

    def tmux(self, *words):
        """What a command of tmux prints."""
        done = subprocess.run(["tmux", "-u", "-S", os.path.join(self.folder, "socket"), "-f", os.path.join(self.folder, "conf"), *words], capture_output=True,
                              env=self.environment, timeout=SECONDS, check=False)
        assert done.returncode == 0, f"tmux {words}: {done.stderr!r}"
        return done.stdout.decode()

    def __enter__(self):
        try:
            with open(os.path.join(self.folder, "conf"), "w", encoding="ascii") as file:
                file.write('set -g status off\nset -g default-terminal "tmux-256color"\nset -sg escape-time 0\n')
            with open(os.path.join(self.folder, "rc"), "w", encoding="ascii") as file:
                file.write("PS1='shell> '\n")
            fifo = os.path.join(self.folder, "written")
            os.mkfifo(fifo)
            self.pipe = os.open(fifo, os.O_RDWR | os.O_NONBLOCK)
            self.tmux("new-session", "-d", "-x", str(self.columns), "-y", str(self.lines), f"bash --noprofile --rcfile {self.folder}/rc -i")
            self.tmux("pipe-pane", f"cat > {fifo}")
            self.until(lambda screen: "shell>" in screen)
            return self
        except BaseException:
            self.close()
            raise

    def __exit__(self, kind, value, trace):
        if kind is not None:
            try:
                print(f"--- the screen:\n{self.screen()}")
            except (AssertionError, OSError, subprocess.SubprocessError):
                pass
        self.close()

    def close(self):
        try:
            self.tmux("kill-server")
        except (AssertionError, subprocess.SubprocessError):
            pass  # It ended with its shell.
        if self.pipe is not None:
            os.close(self.pipe)
        shutil.rmtree(self.folder, ignore_errors=True)

    def type(self, text):
        """As if somebody typed it, a name of tmux's for each key that is none of a letter: press."""
        self.tmux("send-keys", "-l", text)

    def press(self, *keys):
        self.tmux("send-keys", *keys)

    def screen(self, escapes=False):
        """The text that is on the screen, a line each."""
        return self.tmux("capture-pane", "-p", *(["-e"] if escapes else []))

    def resize(self, columns, lines):
        self.tmux("resize-window", "-x", str(columns), "-y", str(lines))

    def value(self, name):
        """One of tmux's variables of the pane."""
        return self.tmux("display-message", "-p", "#{" + name + "}").strip()

    def until(self, holds, what="the screen"):
        """Looks at the screen whenever something was written, until it is so; returns what it showed then."""
        deadline = time.monotonic() + SECONDS
        while True:
            screen = self.screen()
            if holds(screen):
                return screen
            left = deadline - time.monotonic()
            assert left > 0, f"{what} never came to be so:\n{screen}"
            if select.select([self.pipe], [], [], min(left, 1))[0]:
                try:
                    os.read(self.pipe, 65536)
                except BlockingIOError:
                    pass
