#!/bin/sh
# symbols.sh PROGRAM PATTERN: fails, naming them, when PROGRAM has a symbol that matches the extended regular expression PATTERN.
set -eu
symbols=$(nm -C "$1")
[ -n "$symbols" ] || { echo "$1 has no symbols to look at" >&2; exit 1; }
if found=$(printf '%s\n' "$symbols" | grep -E "$2"); then
    printf '%s must not contain:\n%s\n' "$1" "$found" >&2
    exit 1
fi
