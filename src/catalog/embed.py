#!/usr/bin/env python3
"""embed.py OUT.c HEADER PREFIX 0001.sql 0002.sql ...: the numbered migrations as C string constants."""
import os
import sys


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


main(sys.argv[1], sys.argv[2], sys.argv[3].strip("-"), sys.argv[4:])
