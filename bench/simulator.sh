#!/usr/bin/env bash
# What the simulator costs: CPU seconds per million messages, memory, and how many vehicles joined, against a broker
# that is only a sink (mosquitto). Usage: bench/simulator.sh SIMULATOR VEHICLES [FLAGS...]
set -euo pipefail
simulator=$1 vehicles=$2
shift 2
ulimit -n "$(ulimit -Hn)"
dir=$(mktemp -d)
port=${PORT:-18830} metrics=${METRICS_PORT:-18831} window_s=${WINDOW_S:-20}
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$dir"' EXIT
printf 'listener %s 127.0.0.1\nallow_anonymous true\nlog_type error\n' "$port" >"$dir/mosquitto.conf"
mosquitto -c "$dir/mosquitto.conf" &
"$simulator" --vehicles "$vehicles" --visible 0 --mqtt-port "$port" --metrics-port "$metrics" \
    --connect-rate 1000 --map-cache "$dir" "$@" >"$dir/log" 2>&1 &
pid=$!

metric() { curl -sf "http://127.0.0.1:$metrics/metrics" | awk -v name="simulator_$1" '$1 == name { print $2 }'; }
cpu_ticks() { awk '{ print $14 + $15 }' "/proc/$pid/stat"; }

until [ "$(metric vehicles || true)" ]; do sleep 0.1; kill -0 $pid; done
began=$(date +%s.%N)
for _ in $(seq 1200); do
    [ "$(metric mqtt_connections)" = "$vehicles" ] && break
    sleep 0.1
done
joined=$(date +%s.%N)
sleep 5
sent=$(metric mqtt_messages_sent_total) cpu=$(cpu_ticks) from=$(date +%s.%N)
sleep "$window_s"
sent=$(($(metric mqtt_messages_sent_total) - sent)) cpu=$(($(cpu_ticks) - cpu)) to=$(date +%s.%N)
awk -v v="$(metric mqtt_connections)" -v sent="$sent" -v cpu="$cpu" -v hz="$(getconf CLK_TCK)" -v took="$(echo "$to - $from" | bc)" \
    -v join="$(echo "$joined - $began" | bc)" -v rss="$(awk '/VmRSS/ { print $2 }' "/proc/$pid/status")" \
    -v dropped="$(metric mqtt_messages_dropped_total)" -v lost="$(metric mqtt_connections_lost_total)" 'BEGIN {
        printf "%d vehicles joined in %.1f s; %.0f messages/s, %.1f CPU s per million messages, %.2f cores, %.0f MiB; %d positions replaced, %d connections lost\n",
            v, join, sent / took, cpu / hz / sent * 1e6, cpu / hz / took, rss / 1024, dropped, lost }'
