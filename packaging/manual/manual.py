#!/usr/bin/env python3
"""The manual pages and the configuration file that the package installs, made from what the programs say of themselves and from the docs.

    manual.py PAGE FOLDER OF PROGRAMS > PAGE      (vramd.8, vramctl.1, vramd.toml.5, vramd-attach.7, vramd.toml)

A page's frame is PAGE.md beside this file. A line `!options VERB`, `!verbs`, `!settings` or `!footer` in it stands for a part of what
`vramd __describe` and `vramctl __describe` answer, the tables that --help is made from; `!section FILE HEADING` for that section of one of the
docs. So no page can tell of an option that is not there, or leave one out.
"""
import datetime
import json
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
NAMES = {"vramd.8": "System daemon", "vramctl.1": "User commands", "vramd.toml.5": "File formats", "vramd-attach.7": "Protocols"}
LETTERS = {"\\": "\\e", "-": "\\-", "^": "\\(ha", "~": "\\(ti", "`": "\\(ga", "…": "\\&...", "–": "\\-", "→": "\\->", "⇄": "<\\->", "×": "\\(mu", "≤": "\\(<=",
           "≥": "\\(>=", "·": "|", "“": '"', "”": '"', "’": "'"}


# ---------------------------------------------------------------------------------------------------------------- from markdown to man(7)
def plain(text):
    return "".join(LETTERS.get(letter, letter) for letter in text)


def inline(text):
    """One paragraph's text: code and bold become bold, a link its words."""
    text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", text)
    made = ""
    for part in re.split(r"(`[^`]+`|\*\*[^*]+\*\*)", text):
        if part.startswith("`") and part.endswith("`") and len(part) > 1:
            made += "\\fB" + plain(part[1:-1]) + "\\fR"
        elif part.startswith("**") and part.endswith("**") and len(part) > 3:
            made += "\\fB" + plain(part[2:-2].replace("`", "")) + "\\fR"
        else:
            made += plain(part)
    return guarded(made)


def guarded(line):
    """A line that begins with a control character would be a request."""
    return "\\&" + line if line.startswith((".", "'")) else line


def cells(line):
    return [cell.strip().replace("\\|", "|") for cell in line.strip().strip("|").split(" | ")]


def table(lines):
    """The first column is the tag, the others follow it: a manual page is read at any width."""
    head = cells(lines[0])
    made = []
    for line in lines[2:]:
        row = cells(line)
        made += [".TP", inline(row[0])]
        rest = [(name, cell) for name, cell in zip(head[1:], row[1:]) if cell not in ("", "–")]
        for name, cell in rest:
            made.append(inline(cell if len(head) == 2 or not name else f"{name}: {cell}."))
        if not rest:
            made.append("\\&")
    return made


def joined(lines):
    return inline(" ".join(line.strip() for line in lines))


class Page:
    """Blocks of markdown, one after the other."""

    def __init__(self):
        self.made, self.begun = [], True  # Begun: right after a heading, where no paragraph has to be opened.

    def paragraph(self):
        if not self.begun:
            self.made.append(".PP")
        self.begun = False

    def heading(self, line):
        level, text = len(line) - len(line.lstrip("#")), line.lstrip("# ")
        self.made.append((".SH " if level < 3 else ".SS ") + '"' + inline(text.upper() if level == 1 else text).replace('"', "'") + '"')
        self.begun = True

    def code(self, lines):
        self.paragraph()
        self.made += [".RS 4", ".EX", *[guarded(plain(line)) for line in lines], ".EE", ".RE"]

    def items(self, lines):
        for item in re.split(r"^- ", "\n".join(lines), flags=re.M)[1:]:
            self.made += [".IP \\(bu 3", joined(item.split("\n"))]
        self.begun = False

    def add(self, text):
        lines = text.split("\n")
        while lines:
            line = lines.pop(0)
            taken = [line]
            if line.startswith("```"):
                taken = []
                while lines and not lines[0].startswith("```"):
                    taken.append(lines.pop(0))
                lines.pop(0)
                self.code(taken)
            elif line.startswith("#"):
                self.heading(line)
            elif line.startswith("|"):
                while lines and lines[0].startswith("|"):
                    taken.append(lines.pop(0))
                self.made += table(taken)
                self.begun = False
            elif line.startswith("- "):
                while lines and (lines[0].startswith("- ") or lines[0].startswith("  ")):
                    taken.append(lines.pop(0))
                self.items(taken)
            elif line.strip():
                while lines and lines[0].strip() and not lines[0].startswith(("|", "- ", "#", "```")):
                    taken.append(lines.pop(0))
                self.paragraph()
                self.made.append(joined(taken))


# ------------------------------------------------------------------------------------------------------------- what the programs tell
def described(folder, program):
    return json.loads(subprocess.run([os.path.join(folder, program), "__describe"], check=True, stdout=subprocess.PIPE).stdout)


def row(tag, tells):
    return f"| {tag} | {tells} |"


TABLE = ["| | |", "|---|---|"]


def sentence(text):
    """--help leaves the period out, and so do its tables."""
    if not text.split()[0].endswith((",", ":")):  # That would be a value, or a form of one.
        text = text[0].upper() + text[1:]
    return text if text.endswith(".") else text + "."


def option_rows(options):
    return [row(f"`{option['name'].replace(',', ', ')}{' VALUE' if option['takesValue'] else ''}`", sentence(option["tells"])) for option in options]


def argument_rows(verb):
    rows = []
    for argument in verb["arguments"]:
        letter = f"{argument['letter']}, " if argument["letter"] else ""
        tag = {"required": "{name}", "optional": "[{name}]", "many": "{name}...", "value": letter + "--{name} VALUE", "flag": letter + "--{name}"}[argument["takes"]]
        tag = tag.replace("{name}", argument["name"] if "value" in argument["takes"] or argument["takes"] == "flag" else argument["name"].upper())
        words = f" One of: {argument['words']}." if argument["words"] and not argument["words"].replace(" ", ", ") in argument["tells"] else ""
        rows.append(row(f"`{tag}`", sentence(argument["tells"]) + words))
    return rows


def examples_of(verb):
    return [example for example in verb["example"].split("; ") if example]


def verb_lines(verb):
    lines = [f"### {verb['name']}", "", sentence(verb["tells"]) + (f" It is the call `{verb['call']}`." if verb["call"] else "")
             + (" It can be watched (`--watch`)." if verb["repeats"] else ""), ""]
    rows = argument_rows(verb)
    if rows:
        lines += TABLE + rows + [""]
    if examples_of(verb):
        lines += ["```", *examples_of(verb), "```", ""]
    return lines


def setting_lines(told):
    lines = list(TABLE)
    for setting in told["settings"]:
        kind = "A text, or a list of texts" if setting["isList"] else "A text"
        lines.append(row(f"`{setting['key']}`", f"{kind}: {sentence(setting['tells'])} As a flag `{setting['flag']}`, as a variable `{setting['variable']}`."))
    return lines


def section(path, heading):
    """The text below a heading of one of the docs, its own headings one step lower than the page's."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        text = file.read()
    found = re.search(r"^## " + re.escape(heading) + r"\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    if found is None:
        sys.exit(f"{path} has no section '{heading}'")
    return found.group(1).strip().split("\n")


def filled(name, folder):
    """The frame's lines, each that begins with `!` replaced by what it stands for."""
    with open(os.path.join(HERE, name + ".md"), encoding="utf-8") as file:
        frame = file.read().split("\n")
    lines = []
    for line in frame:
        words = line.split(" ", 2)
        if words[0] == "!options":
            verb = next(verb for verb in described(folder, "vramd")["verbs"] if verb["name"] == words[1])
            lines += TABLE + option_rows(verb["options"])
        elif words[0] == "!globals":
            lines += TABLE + option_rows(described(folder, "vramctl")["options"])
        elif words[0] == "!verbs":
            for verb in described(folder, "vramctl")["verbs"]:
                lines += verb_lines(verb)
        elif words[0] == "!settings":
            lines += setting_lines(described(folder, "vramd"))
        elif words[0] == "!section":
            lines += section(words[1], words[2])
        elif words[0] == "!document":
            with open(os.path.join(ROOT, words[1]), encoding="utf-8") as file:
                lines += file.read().split("\n", 1)[1].split("\n")
        else:
            lines.append(line)
    return "\n".join(lines)


def day():
    """Of the sources, so that the same sources give the same page."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        told = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%ct"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.decode().strip()
        epoch = told or str(int(os.path.getmtime(__file__)))
    return datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc).strftime("%Y-%m-%d")


def manual_page(name, folder):
    title, number = name.rsplit(".", 1)
    page = Page()
    page.add(filled(name, folder))
    version = described(folder, "vramd")["version"]
    return "\n".join([f'.TH {plain(title.upper())} {number} "{day()}" "vramd {version}" "{NAMES[name]}"', ".nh", ".ad l", *page.made]) + "\n"


# --------------------------------------------------------------------------------------------------- the file that the package installs
# What a service of its own user cannot take from root's defaults.
SERVED = {"socket": "/run/vramd/vramd.sock", "state_dir": "/var/lib/vramd", "model_dir": "/var/lib/vramd/models"}


def wrapped(text, width=110):
    line, lines = "#", []
    for word in text.split():
        if len(line) + 1 + len(word) > width:
            lines.append(line)
            line = "#"
        line += " " + word
    return lines + [line]


def default_file(folder):
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": "/"}
    told = subprocess.run([os.path.join(folder, "vramd"), "config", "--plain"], check=True, stdout=subprocess.PIPE, env=environment).stdout.decode()
    defaults = dict(line.split("=", 1) for line in told.splitlines())
    lines = ["# What vramd runs with: vramd.toml(5). A key that begins with # has the value that is shown, and need not be here.",
             "# `vramd config --config /etc/vramd/vramd.toml` tells what holds and where it comes from; `systemctl reload vramd` has it read again."]
    for setting in described(folder, "vramd")["settings"]:
        key = setting["key"]
        lines += ["", *wrapped(sentence(setting["tells"]))]
        value = SERVED.get(key, defaults[key])
        lines.append(("" if key in SERVED else "#") + (f'{key} = "{value}"' if value else f'{key} = "/etc/vramd/tokens"' if key == "token_file" else f'{key} = ""'))
    lines += ["", *wrapped("Models to load at each start, one table each: path in a model folder, and where it goes (device, or tier = \"ram\" for the cache only)."),
              "#[[preload]]", '#name = "chat"', '#path = "chat.gguf"', "#pinned = true"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 3 or (sys.argv[1] not in NAMES and sys.argv[1] != "vramd.toml"):
        sys.exit(__doc__)
    sys.stdout.write(default_file(sys.argv[2]) if sys.argv[1] == "vramd.toml" else manual_page(sys.argv[1], sys.argv[2]))
