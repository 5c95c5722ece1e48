#!/bin/bash
# filemill as one of the stacks of the bench: start | stop | pids | clean. State in $PEER_VAR.
. "$(dirname "$0")/../lib/common.sh"
PORT=${PORT:-18601}
FILEMILL=${FILEMILL:?path of the binary}
case ${1:-} in
start)
    mkdir -p "$RUN"
    spawn filemill "$FILEMILL" serve --listen "127.0.0.1:$PORT" --data "$VAR/data" --log-level warn ${SERVE_ARGS:-}
    wait_port "$PORT" 20;;
stop) stop_one filemill TERM;;
pids) pids;;
clean) rm -rf "$VAR";;
*) echo "usage: $0 start|stop|pids|clean"; exit 2;;
esac
