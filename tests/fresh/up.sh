#!/usr/bin/env bash
# up.sh: follows the README on this machine as a newcomer would: `make up`, a chat, an embedding, Ctrl-C; then once more.
# SPDX-License-Identifier: Apache-2.0
#
# usage: tests/fresh/up.sh        on a fresh machine, in a fresh clone; port 8000 must be free
#
# Prints one line for each step with its seconds; exit code 0 when all of them held. What make and the node said is in up.1.log and
# up.2.log below build/. Limits in seconds by environment: FIRST (first start, 600), SECOND (20), MINILM (300).
set -u -o pipefail -m # -m: make up gets a process group of its own, as in a terminal, so that Ctrl-C can be sent to it
cd "$(dirname "$0")/../.."
mkdir -p build
export UP_SH_MARK=up-sh-$$ # all processes of this run carry it
url=http://127.0.0.1:8000
job=

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }'; }
ok() { printf 'ok    %8s s  %s\n' "$1" "$2"; }
fail() {
    printf 'FAIL  %s\n' "$1"
    [ -z "${log:-}" ] || { echo "---- end of $log"; tail -n 25 "$log"; }
    [ -z "$job" ] || kill -KILL -- "-$job" 2>/dev/null
    exit 1
}

ask() { # PATH [BODY]: curl, as in the README; where there is none, the same by python3
    if command -v curl >/dev/null; then
        curl -sS --max-time 300 "$url$1" ${2:+-H 'Content-Type: application/json' -d "$2"}
    else
        python3 -c 'import sys, urllib.request as u
body = sys.argv[2].encode() if sys.argv[2:] else None
print(u.urlopen(u.Request(sys.argv[1], body, {"Content-Type": "application/json"}), timeout=300).read().decode())' "$url$@"
    fi
}

left() { # processes of this run besides this script
    for file in /proc/[0-9]*/environ; do
        pid=${file#/proc/} pid=${pid%/environ}
        [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] || continue
        grep -qa "UP_SH_MARK=$UP_SH_MARK" "$file" 2>/dev/null || continue
        grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null && continue
        words=$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null)
        case $words in *plexus* | *llama* | *make* | *get-minilm*) echo "$pid $words" ;; esac
    done
}

start() { # SECONDS: make up, until it prints its address
    began=$(now)
    : >"$log"
    make up >"$log" 2>&1 </dev/null &
    job=$!
    until grep -q "serves at" "$log"; do
        kill -0 "$job" 2>/dev/null || fail "make up ended before it served"
        [ "$(since "$began" | cut -d. -f1)" -lt "$1" ] || fail "make up prints no address within $1 s"
        sleep 0.05
    done
    ok "$(since "$began")" "make up: $(grep -m1 'serves at' "$log")"
    began=$(now)
}

chat() {
    at=$(now)
    answer=$(ask /v1/chat/completions '{"model":"tiny-chat","messages":[{"role":"user","content":"What is the capital of France?"}]}') ||
        fail "the chat has no answer"
    case $answer in *Paris*) ;; *) fail "the chat answers: $answer" ;; esac
    ok "$(since "$at")" "chat: $(printf %s "$answer" | sed 's/.*"content":"\([^"]*\)".*/\1/')"
}

stop() { # Ctrl-C
    at=$(now)
    kill -INT -- "-$job"
    wait "$job"
    code=$?
    job=
    case $code in 0 | 130 | 2) ;; *) fail "after Ctrl-C make up ended with $code" ;; esac
    remaining=$(left)
    [ -z "$remaining" ] || fail "processes are left after Ctrl-C: $remaining"
    ok "$(since "$at")" "Ctrl-C: ended with $code, no process is left"
}

packages() { dpkg-query -W 2>/dev/null | sha256sum; }

log=build/up.1.log
start "${FIRST:-600}"
sed -n 's/^setup: \(installing\|fetching\)/      \1/p' "$log"
chat
at=$(now)
until answer=$(ask /v1/embeddings '{"model":"minilm","input":"a private mesh of models"}') && case $answer in *'"embedding"'*) ;; *) false ;; esac; do
    [ "$(since "$at" | cut -d. -f1)" -lt "${MINILM:-300}" ] || fail "minilm does not embed: $answer"
    sleep 0.5
done
ok "$(since "$at")" "embedding: $(printf %s "$answer" | sed 's/.*"embedding":\[//; s/\].*//' | awk -F, '{ print NF }') numbers; minilm was fetched, made, loaded"
stop

before=$(packages)
log=build/up.2.log
start "${SECOND:-20}"
! grep -E '^setup: (installing|fetching)' "$log" || fail "the second make up installs or fetches"
[ "$before" = "$(packages)" ] || fail "the second make up changed the packages"
chat
at=$(now)
case $(ask /v1/embeddings '{"model":"minilm","input":"again"}') in *'"embedding"'*) ;; *) fail "minilm does not embed again" ;; esac
ok "$(since "$at")" "embedding, minilm loaded anew"
stop
echo "all held"
