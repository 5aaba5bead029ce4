#!/bin/sh
# A whole recording with curl: start, first frame, mark, stop, the file in parts.
# usage: client.sh SOCKET ID FILE
set -eu
socket=$1 id=$2 file=$3
api() {
  method=$1 target=$2; shift 2
  curl -sS --fail-with-body --unix-socket "$socket" -X "$method" "$@" "http://kinescope$target"
}
json='Content-Type: application/json'
api POST /v1/recordings -H "$json" -d '{"id":"'"$id"'","source":{"test":{"width":320,"height":240}}}' >/dev/null
api GET "/v1/recordings/$id?wait=first_frame&timeout_ms=60000" >/dev/null
api POST "/v1/recordings/$id/markers" -H "$json" -d '{"label":"from curl","kind":"chapter"}' >/dev/null
api POST "/v1/recordings/$id/stop" -H "$json" -d '{"wait_ready":true}' >/dev/null
artifact=/v1/recordings/$id/artifact
size=$(api GET $artifact -I -X HEAD | tr -d '\r' | sed -n 's/^Content-Length: //p')
middle=$((size / 2))
api GET "$artifact" -r "0-$((middle - 1))" >"$file"
api GET "$artifact" -r "$middle-" >>"$file"
