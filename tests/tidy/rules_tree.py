"""Rules about the tree as a whole: names, unfinished words, rooms told of in ARCHITECTURE.md, dead files, unique test names."""
import os
import re

VAGUE_NAMES = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc|stuff|impl)(_|$)")
# Spelled in halves, so that this file does not break its own rule.
UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b|\b(?i:place" + r"holder|dum" + r"my|not yet imple" + r"mented|for n" + r"ow|simpl" + r"ified|lorem ip" + r"sum)\b")
MACHINE_WORDS = re.compile(r"/wo" + r"rk/(main|shared|\.library)|\.lib" + r"rary/|/tmp/bri" + r"ef")
TEST_CASE = re.compile(r'^\s*TEST_CASE(?:_TEMPLATE)?\(\s*"((?:\\.|[^"\\])*)"', re.M)
PROSE_MAY_SAY = ("tests/tidy/",)


def room_lines(tree):
    return [line.split(":")[0].strip() for line in tree.files.get("src/rooms.txt", "").splitlines() if re.match(r"[a-z]", line)]


def vague_names(tree):
    """A file is named for what it holds."""
    for path in tree.files:
        stem = os.path.basename(path).split(".")[0].replace("-", "_")
        if VAGUE_NAMES.search(stem):
            yield path, 0, "its name says nothing: name what it holds"


def snake_case_files(tree):
    for path, _ in tree.having(".cpp", ".hpp"):
        if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_]+)*", os.path.basename(path)):
            yield path, 0, "file names are snake_case"


def unfinished_words(tree):
    """What is not done is not in the tree."""
    for path, text in tree.files.items():
        if path.startswith(PROSE_MAY_SAY):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            match = UNFINISHED.search(line)
            if match:
                yield path, number, f"`{match.group(0)}`: finish it, or leave it out and say so in README.md"
            if MACHINE_WORDS.search(line):
                yield path, number, "names a path of one machine"


def rooms_are_told(tree):
    """Each room that has files is a line of ARCHITECTURE.md, and each line is a room that has files."""
    text = tree.files.get("ARCHITECTURE.md")
    if text is None:
        yield "ARCHITECTURE.md", 0, "is missing"
        return
    told = set(re.findall(r"^\| `([a-z/_0-9]+)` \|", text, re.M))
    rooms = room_lines(tree)
    filled = {room for room in rooms for path in tree.files if path.startswith(f"src/{room}/") and path.endswith((".cpp", ".hpp"))
              and not any(other != room and other.startswith(room + "/") and path.startswith(f"src/{other}/") for other in rooms)}
    for room in sorted(filled - told):
        yield "ARCHITECTURE.md", 0, f"tells nothing of the room {room} (a line `| \\`{room}\\` | its one job |`)"
    for room in sorted(told - filled):
        yield "ARCHITECTURE.md", 0, f"tells of the room {room}, which has no file"


def dead_files(tree):
    """A .cpp that no target takes up, a header that nothing includes."""
    rooms = room_lines(tree)
    included = set()
    for _, text in tree.having(".cpp", ".hpp"):
        included |= set(re.findall(r'#\s*include\s+"([^"]+)"', text))
    cmake = "\n".join(text for path, text in tree.files.items() if path.endswith((".cmake", "CMakeLists.txt")))
    for path, text in tree.having(".cpp"):
        folder = os.path.dirname(path)
        if folder in {f"src/{room}" for room in rooms if room != "program"} or folder in ("benchmarks", "fuzz"):
            continue  # Taken up by a glob.
        if os.path.basename(path) not in cmake and f"{folder}/*.cpp" not in cmake and "*.cpp" not in tree.files.get(f"{folder}/tests.cmake", ""):
            yield path, 0, "no target builds it"
    for path, _ in tree.having(".hpp"):
        if path.startswith("src/") and path[4:] not in included:
            yield path, 0, "nothing includes it"


def unique_test_names(tree):
    """A test's name is a sentence that says one thing, once."""
    seen = {}
    for path, text in tree.having("_test.cpp"):
        for match in TEST_CASE.finditer(text):
            name = match.group(1)
            number = text.count("\n", 0, match.start()) + 1
            if " " not in name:
                yield path, number, f'the test "{name}" is not a sentence'
            if name in seen:
                yield path, number, f'the test "{name}" is also in {seen[name]}'
            seen.setdefault(name, f"{path}:{number}")


def tree_rules():
    """The rules of this file, in order."""
    return [vague_names, snake_case_files, unfinished_words, rooms_are_told, dead_files, unique_test_names]
