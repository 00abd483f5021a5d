#!/usr/bin/env bash
# Looks for anything that a lab left running or lying about after `canary-lab down`: audit.sh CANARY_LAB
# Prints what it found and fails when that is not nothing.
set -euo pipefail
program=$(realpath "${1:?usage: audit.sh CANARY_LAB}")
left=0

for process in /proc/[0-9]*; do
    if [ "$(readlink "$process/exe" 2>/dev/null || true)" = "$program" ]; then
        echo "still running: ${process#/proc/} $(tr '\0' ' ' <"$process/cmdline")"
        left=1
    fi
done

# Loopback blocks of labs are 127.64.0.0 to 127.126.255.255; addresses stand in hexadecimal, low byte first.
while read -r _ address _ state _; do
    host=${address%:*}
    second=$((16#${host:4:2}))
    if [ "$state" = 0A ] && [ "${host:6:2}" = 7F ] && [ "$second" -ge 64 ] && [ "$second" -le 126 ]; then
        echo "still listening: 127.$second.$((16#${host:2:2})).$((16#${host:0:2})):$((16#${address#*:}))"
        left=1
    fi
done < <(tail -n +2 /proc/net/tcp)

while read -r socket; do
    echo "socket left: $socket"
    left=1
done < <(find "${TMPDIR:-/tmp}" "${XDG_RUNTIME_DIR:-/nonexistent}" -maxdepth 3 -path '*canary-lab*' -type s -user "$(id -u)" 2>/dev/null || true)

[ "$left" = 0 ] && echo "nothing left"
exit "$left"
