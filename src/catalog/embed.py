#!/usr/bin/env python3
"""embed.py OUT.c HEADER PREFIX 0001.sql 0002.sql ...: the numbered migrations as C string constants; with a PREFIX, which is what several nodes have, also what the first line of each says of
programs that know only an older schema: `-- Schema 9, beside programs of 8 and later: …`. Where it says nothing none may go on."""
import os
import re
import sys


def beside(path, number):
    with open(path, encoding="utf-8") as f:
        first = f.readline()
    said = re.match(r"-- Schema (\d+)(?:, beside programs of (\d+) and later)?[.:]", first)
    if not said or int(said[1]) != number or int(said[2] or number) > number:
        sys.exit(f"{path}: the first line does not say which schema this leads to")
    return int(said[2] or number)


def main(out, header, prefix, sources):
    with open(out, "w", encoding="ascii") as f:
        f.write(f'#include "{header}"\n\n')
        for n, path in enumerate(sources, 1):
            if os.path.basename(path) != f"{n:04}.sql":
                sys.exit(f"migrations are numbered without gaps: expected {n:04}.sql, got {os.path.basename(path)}")
            f.write(f"static const char MIGRATION_{n}[] = {{\n")
            data = open(path, "rb").read() + b"\0"
            for i in range(0, len(data), 20):
                f.write("\t" + ", ".join(str(b if b < 128 else b - 256) for b in data[i:i + 20]) + ",\n")
            f.write("};\n")
        f.write(f"\nconst char *const {prefix}schema_migrations[] = {{\n")
        for n in range(1, len(sources) + 1):
            f.write(f"\tMIGRATION_{n},\n")
        f.write(f"}};\nconst int {prefix}schema_latest = {len(sources)};\n")
        if prefix:
            numbers = ", ".join(str(beside(path, n)) for n, path in enumerate(sources, 1))
            f.write(f"const int {prefix}schema_beside[] = {{{numbers}}};\n")


main(sys.argv[1], sys.argv[2], sys.argv[3].strip("-"), sys.argv[4:])
