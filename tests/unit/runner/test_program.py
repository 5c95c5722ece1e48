#!/usr/bin/python3
"""filemill-runner as a file: what it is linked with and what it is made of. It decodes strangers' bytes, so neither catalogue, store, network nor HTTP may be in it.

The program names its libraries itself (readelf); libraries have libraries of their own, and libvips brings libcurl, for it can be built with readers that fetch. Nobody here calls it,
and there is no system call for it; so the first kind is checked by name, and the second for those that would be our doing."""
import re
import subprocess
import sys

PROGRAM = sys.argv[1]

NOT_ITS_OWN = r"lib(curl|sqlite3|microhttpd|pq|fyaml|ssl|z3|gnutls)\b"
NOT_AT_ALL = r"lib(microhttpd|pq|fyaml)\.so"
NOT_INSIDE = r"(catalog|blobs?|http(?!_date)|engine|front|api|surface|config|log|metrics|pool|runner)_"
NOT_CALLED = r"(curl_|sqlite3_|MHD_|PQ[a-z]|fy_|SSL_|gnutls_|dlopen$|getaddrinfo$|system$|popen$|socket$|connect$|bind$|listen$)"
MUST_BE = ["seal_apply", "zygote_run", "loop_run", "command_run", "message_recv"]


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def needed():
    return re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-d", PROGRAM))


def symbols():
    return [line.split()[-1].split("@")[0] for line in output_of("nm", PROGRAM).splitlines()]


def imports():
    return [line.split()[-1].split("@")[0] for line in output_of("nm", "-D", "--undefined-only", PROGRAM).splitlines()]


def complaints():
    names = needed()
    if "libc.so.6" not in names:
        yield f"readelf says nothing about libraries: {names}"
    for name in names:
        if re.match(NOT_ITS_OWN, name):
            yield f"linked with {name}"
    for line in output_of("ldd", PROGRAM).splitlines():
        if re.search(NOT_AT_ALL, line):
            yield f"loads {line.strip()}"
    inside = symbols()
    for name in MUST_BE:
        if name not in inside:
            yield f"nm does not know {name}: is the program stripped?"
    for name in inside:
        if re.match(NOT_INSIDE, name):
            yield f"made of {name}"
    calls = imports()
    if "recvmsg" not in calls:
        yield "nm does not list what is imported"
    for name in calls:
        if re.match(NOT_CALLED, name):
            yield f"calls {name}"


def main():
    found = list(complaints())
    for line in found:
        print(f"{PROGRAM}: {line}")
    print(f"{len(needed())} libraries, {len(symbols())} symbols, {len(imports())} imports: {len(found)} complaints")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
