# What a line of `commands` finds. $NS is its namespace, $OBJECTS this folder, $PORT serves a line
# on the node, $PREFIX stands before the paths of `get --raw` where kubectl leaves the cluster's
# out.
cd "$HOME"
export NS OBJECTS PORT PREFIX HOME KUBECONFIG

# Until a command prints what it should.
until_says() {
  local want=$1 said
  shift
  for _ in $(seq 100); do
    said=$("$@" 2>/dev/null) || true
    if [ "$said" = "$want" ]; then return 0; fi
    sleep 0.2
  done
  echo "said '$said' and not '$want': $*"
  return 1
}

# Until a controller has seen the last change: of two that it sees at once it makes one revision.
observed() {
  until_says "$(kubectl get "$1" -o jsonpath='{.metadata.generation}')" \
    kubectl get "$1" -o jsonpath='{.status.observedGeneration}'
}

# An object of JSON whose managers are in an order of their own: that of the server is by seconds.
by_manager() {
  python3 -c 'import json, sys
said = json.load(sys.stdin)
said["metadata"]["managedFields"].sort(key=lambda one: one["manager"])
print(json.dumps(said, indent=1))'
}

# What a client of a forwarded port hears: forward POD-OR-SERVICE REMOTE.
forward() {
  local log=$HOME/forward.log pid port said=
  # The port of the one before must not be read.
  : >"$log"
  kubectl port-forward "$1" ":$2" >>"$log" 2>&1 &
  pid=$!
  for _ in $(seq 100); do
    port=$(sed -n 's/^Forwarding from 127.0.0.1:\([0-9]*\) .*/\1/p' "$log")
    if [ -n "$port" ] || ! kill -0 "$pid" 2>/dev/null; then break; fi
    sleep 0.1
  done
  if [ -n "$port" ]; then read -r -t 10 said <"/dev/tcp/127.0.0.1/$port" || true; fi
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  echo "$said"
  cat "$log"
}

# The objects of a file, in this namespace.
objects() { sed "s/NAMESPACE/$NS/g" "$OBJECTS/$1"; }
