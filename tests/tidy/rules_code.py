"""Rules about the inside of C++ files: includes, banned words, sizes, docstrings, and one trap of the compiler."""
import re

LINES_MAX = 400
FUNCTION_LINES_MAX = 60
LONGER_BECAUSE = "Longer than 400 lines because"
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"')
PURE_ROOMS = ("core", "core/memory", "core/model", "core/report", "terms", "formats")

# Words banned in the pure rooms: (pattern, what to do instead).
BANNED_PURE = [
    (r"std::(j?thread|mutex|shared_mutex|recursive_mutex|condition_variable|atomic\w*|lock_guard|unique_lock|scoped_lock|future|async|promise)\b",
     "a pure room has no thread, lock or atomic; the engine owns them"),
    (r"\bstd::chrono\b|\bclock_gettime\b|\btime\(nullptr\)|\bgettimeofday\b", "a pure room has no clock; the time comes in the command"),
    (r"\bstd::(random_device|mt19937\w*|rand)\b|\bgetrandom\b|\brand\(\)", "a pure room draws nothing; ids come in the command"),
    (r"\bstd::unordered_\w+", "iteration of an unordered container is not deterministic; use std::map or a sorted vector"),
    (r"#\s*include\s+<(thread|mutex|shared_mutex|condition_variable|atomic|chrono|random|future|unordered_map|unordered_set|fstream|filesystem|iostream)>",
     "a pure room holds no thread, lock, clock, random, unordered iteration or file"),
    (r"#\s*include\s+<(sys/[a-z_]+|unistd|fcntl|poll|pthread|signal|linux/[a-z_]+)\.h>", "a pure room makes no system call"),
    (r"#\s*include\s+\"base/(random|mutex|fd)\.hpp\"|\b(read_clocks|monotonic_ns|clock_ns)\s*\(", "a pure room takes no clock, random, lock or descriptor from base either"),
]
# Words banned everywhere in C++.
BANNED_ALWAYS = [
    (r"\bcatch\s*\(\s*\.\.\.\s*\)", "name what is caught; catching everything hides our own bugs"),
    (r"\busing\s+namespace\s+std\s*;", "write std:: out"),
    (r"\bstd::(cout|cerr|clog|endl)\b", "programs print through their own writer; libraries never log"),
    (r"\bassert\s*\(", "INVARIANT stays on in a release"),
    (r"\bstd::(stoi|stol|stoul|stoull|atoi|strtol|strtoul)\b|\batoi\s*\(", "std::from_chars, which refuses what does not fit"),
    (r"\bstrcpy\s*\(|\bsprintf\s*\(|\bstrcat\s*\(|\bgets\s*\(", "a bounded write"),
    (r"\bsystem\s*\(\s*\"", "no shell from the product"),
    (r"#\s*define\s+(?!INVARIANT|AUDIT|TRY|TRY_DO|REACHED|VRAMD_|GUARDED_BY|REQUIRES|EXCLUDES|ACQUIRE|RELEASE|XXH_|BOOST_|DOCTEST_|_GNU_SOURCE|JSON_)\w+\(", "a function or a template; the house has few macros"),
]
PRODUCT_ONLY = [ban for ban in BANNED_ALWAYS if "std::(cout" in ban[0] or "std::(stoi" in ban[0]]
BANNED_WAITING = [
    (r"\b(sleep_for|sleep_until|usleep)\b|\bnanosleep\s*\(\s*&|(?<![\w.])sleep\s*\(\s*\d", "wait for the event with a deadline, never for time"),
]
EXCEPTION_NOTE = re.compile(r"//.*\btidy: (\S.*)")  # A line may say why it breaks a word's ban: `// tidy: reason`.


def strip_code(text):
    """The text with comments and string literals blanked, line structure kept."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^(\s]*)\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'', re.S)

    def blank(match):
        found = match.group(0)
        if found.startswith("'") and len(found) > 10:  # Digit separators, not a character.
            return found
        kept = '""' if found.startswith(('"', "R")) else ""
        return kept + "\n" * found.count("\n")

    # A digit separator (1'000) would open a character literal: take it out first.
    return pattern.sub(blank, re.sub(r"(?<=[0-9a-fA-F])'(?=[0-9a-fA-F])", "", text))


def parse_rooms(text):
    """{room: (rooms it may include, …)} of rooms.txt; `*` is all."""
    rooms = {}
    for line in text.splitlines():
        if re.match(r"[a-z]", line):
            name, _, rest = line.partition(":")
            rooms[name.strip()] = tuple(rest.split("|")[0].split())
    return rooms


def room_of(path, rooms):
    """The longest room whose folder holds the path (below src/), or None."""
    parts = path.split("/")[:-1]
    for length in range(len(parts), 0, -1):
        if "/".join(parts[:length]) in rooms:
            return "/".join(parts[:length])
    return None


def include_directions(tree):
    """A room includes itself and what src/rooms.txt lists for it."""
    rooms = parse_rooms(tree.files.get("src/rooms.txt", ""))
    for path, text in tree.having(".cpp", ".hpp"):
        if not path.startswith("src/"):
            continue
        room = room_of(path[4:], rooms)
        if room is None:
            yield path, 0, "lies in no room of src/rooms.txt"
            continue
        for number, line in enumerate(text.splitlines(), 1):
            match = INCLUDE.match(line)
            if not match:
                continue
            target = match.group(1)
            if "/" not in target:
                yield path, number, f'write the path from src/: "{room}/{target}"'
                continue
            other = room_of(target, rooms)
            allowed = rooms[room]
            if other is None:
                yield path, number, f'"{target}" lies in no room of src/rooms.txt'
            elif other != room and other not in allowed and "*" not in allowed:
                yield path, number, f"{room} may not include {other} (src/rooms.txt)"


def banned_words(tree):
    """The ban list, by kind of file."""
    rooms = parse_rooms(tree.files.get("src/rooms.txt", ""))
    for path, text in tree.having(".cpp", ".hpp"):
        tests = path.endswith("_test.cpp") or path.startswith(("tests/", "benchmarks/", "fuzz/"))
        pure = path.startswith("src/") and room_of(path[4:], rooms) in PURE_ROOMS and not path.endswith("_test.cpp")
        bans = BANNED_ALWAYS + BANNED_WAITING + (BANNED_PURE if pure else [])
        if tests:
            bans = [ban for ban in bans if ban not in PRODUCT_ONLY]
        original = text.splitlines()
        includes = {number: line for number, line in enumerate(original, 1) if line.lstrip().startswith("#")}
        for number, line in enumerate(strip_code(text).splitlines(), 1):
            line = includes.get(number, line)
            for pattern, instead in bans:
                if re.search(pattern, line) and not EXCEPTION_NOTE.search(original[number - 1]):
                    yield path, number, f"`{re.search(pattern, line).group(0).strip()}`: {instead}"


def python_waits(tree):
    """Tests and scripts wait for events, not for time."""
    for path, text in tree.having(".py", ".sh"):
        if path.startswith("tests/tidy/"):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if re.search(r"\btime\.sleep\(|^\s*sleep\s+[0-9]", line) and "tidy: " not in line:
                yield path, number, "wait for the event with a deadline, never for time"


def file_sizes(tree):
    """Files of at most 400 lines; a longer one says why in its first 20."""
    for path, text in tree.having(".cpp", ".hpp", ".py", ".sh"):
        lines = text.count("\n")
        if lines > LINES_MAX and LONGER_BECAUSE not in "\n".join(text.splitlines()[:20]):
            yield path, 0, f"{lines} lines; at most {LINES_MAX}, or a line of its header says `{LONGER_BECAUSE} …`"


FUNCTION_HEAD = re.compile(r"^[ \t]*(?!.*\b(?:namespace|struct|class|enum|union|if|for|while|switch|else|do|return|case|extern)\b)[^;{}#]*\)"
                           r"(?:\s*(?:const|noexcept|override|final|mutable))*(?:\s*->\s*[^;{}]+)?(?:\s*:\s[^;]*)?\s*\{[^}]*$")


def function_sizes(tree):
    """Functions of at most 60 lines. A function here is a block opened by `) … {` at namespace or class depth, tables excepted."""
    for path, text in tree.having(".cpp", ".hpp"):
        lines = strip_code(text).splitlines()
        number = 0
        while number < len(lines):
            if FUNCTION_HEAD.match(lines[number]):
                end = block_end(lines, number)
                if end - number + 1 > FUNCTION_LINES_MAX:
                    yield path, number + 1, f"a function of {end - number + 1} lines; at most {FUNCTION_LINES_MAX}"
                number = end
            number += 1


def block_end(lines, begin):
    """The line on which the braces opened on line `begin` are closed again."""
    depth = 0
    for number in range(begin, len(lines)):
        depth += lines[number].count("{") - lines[number].count("}")
        if depth <= 0 and (number > begin or "}" in lines[number]):
            return number
    return len(lines) - 1


def header_docstrings(tree):
    """A header opens with what and why."""
    for path, text in tree.having(".hpp"):
        if path.startswith("src/") and not text.startswith("///"):
            yield path, 1, "a header opens with `///`: what it is, why, its invariants"
        if "#pragma once" not in text:
            yield path, 1, "no #pragma once"


def captures_in_await(tree):
    """GCC 12 destroys such captures twice: a lambda with captures inside a co_await expression."""
    for path, text in tree.having(".cpp", ".hpp"):
        code = strip_code(text)
        for match in re.finditer(r"\bco_await\b([^;]*?)\[[^\]\s][^\]]*\]\s*(?:\(|\{|mutable)", code):
            if "\n\n" not in match.group(1):
                yield path, code.count("\n", 0, match.start()) + 1, "a lambda with captures inside co_await: name it first and move it in (GCC 12 destroys it twice)"


def code_rules():
    """The rules of this file, in order."""
    return [include_directions, banned_words, python_waits, file_sizes, function_sizes, header_docstrings, captures_in_await]
