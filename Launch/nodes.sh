# Nodes inside this machine: every one is a network namespace with a host name of its own, and a
# bridge in one more namespace joins them. For scripts to source, which define `fail` before: it
# prints its arguments and exits.

# Removes everything once this process has ended, however it ends, or asks for it: the pipe that
# it reads from is then closed. Signals do not reach it. What runs in a node closes the pipe, number
# 9, only when it is there, where it is found.
clean_up() {
  cat >/dev/null
  local namespaces pids tries
  # In order: mpirun, in the first node, starts what enters the others.
  mapfile -t namespaces < <(
    ip netns list | awk -v p="$prefix-" 'index($1, p) == 1 { print $1 }' | sort -V)
  for tries in {1..50}; do
    pids=$(for namespace in "${namespaces[@]}"; do ip netns pids "$namespace"; done)
    [[ -n "$pids" ]] || break
    kill -KILL $pids 2>/dev/null || :
    sleep 0.02
  done
  for namespace in "${namespaces[@]}"; do ip netns del "$namespace"; done
  rm -rf "$folder"
}

# Runs what makes the nodes; its own message says what is wrong.
make() {
  "$@" 2>"$folder/errors" ||
    fail "\`$*\` failed: $(head -n 1 "$folder/errors"); see whether this kernel, or the" \
      "container around it, allows it"
}
# The settings of a node's network, which are files; an older kernel may lack some.
set_up() {
  ip netns exec "$1" sh -c 'cd /proc/sys/net; for setting; do
    [ ! -e "${setting%=*}" ] || echo "${setting#*=}" >"${setting%=*}"; done' sh "${@:2}"
}

# Makes as many nodes as the argument says, which vanish with this process. Sets
# - `prefix`, after this process, so that clusters do not meet: a node's namespace is $prefix-NAME,
#   that of the bridge, `wires`, whose ports are named port0, port1, …
# - `names` and `addresses` of the nodes
# - `folder`, for files, among them `hosts`, the names of all nodes, and `enter`, a script that runs a
#   command in a node: sh "$folder/enter" NAME COMMAND…
make_nodes() {
  local node space signal
  prefix=lockstep-$$
  wires=$prefix-wires
  names=() addresses=()
  for ((node = 0; node < $1; node++)); do
    names+=("node$node")
    addresses+=("10.0.$(((node + 1) / 256)).$(((node + 1) % 256))")
  done

  trap '' INT TERM HUP QUIT
  # Paths in mpirun's settings may not hold blanks, so that TMPDIR does not serve.
  folder=$(mktemp -d "/tmp/$prefix-XXXXXX") || fail "/tmp cannot be written to; make room there"
  exec 9> >(clean_up >&2)
  cleaner=$!
  trap 'trap "" INT TERM HUP QUIT; exec 9>&-; wait "$cleaner" || :' EXIT
  for signal in INT:130 TERM:143 HUP:129 QUIT:131; do
    trap "exit ${signal#*:}" "${signal%:*}"
  done

  make ip netns add "$wires"
  make set_up "$wires" ipv6/conf/all/disable_ipv6=1
  make ip -n "$wires" link add bridge type bridge
  make ip -n "$wires" link set bridge up
  cp /etc/hosts "$folder/hosts" 2>/dev/null || :
  for node in "${!names[@]}"; do
    space=$prefix-${names[node]}
    make ip netns add "$space"
    # Neighbours that IPv6 looks for would be traffic of their own.
    make set_up "$space" ipv6/conf/all/disable_ipv6=1
    make ip -n "$space" link set lo up
    # Both ends are born where they belong: nothing shows up among the machine's own interfaces.
    make ip -n "$space" link add eth0 type veth peer name "port$node" netns "$wires"
    make ip -n "$wires" link set "port$node" master bridge up
    make ip -n "$space" address add "${addresses[node]}/16" dev eth0 noprefixroute
    make ip -n "$space" link set eth0 up
    make ip -n "$space" route add 10.0.0.0/16 dev eth0 src "${addresses[node]}"
    echo "${addresses[node]} ${names[node]}" >>"$folder/hosts"
  done

  # Enters a node, under its name and with the names of all.
  cat >"$folder/enter" <<END
node=\$1
shift
exec ip netns exec "$prefix-\$node" unshare --uts sh -c '
  hostname "\$1"
  [ ! -e /etc/hosts ] || mount --bind "$folder/hosts" /etc/hosts
  shift
  exec "\$@" 9>&-' sh "\$node" "\$@"
END
}

# Ends `job`, which was started in the first node, and this script with the status given.
interrupt() {
  trap '' INT TERM HUP QUIT
  kill -TERM "$job" 2>/dev/null || :
  # mpirun gives the ranks a moment; what is left after ten seconds falls with the nodes.
  local tries
  for tries in {1..100}; do
    kill -0 "$job" 2>/dev/null || break
    sleep 0.1
  done
  exit "$1"
}

# Runs a command in the first node, in the background, as `job`. In a session of its own, so that
# Ctrl-C reaches this script alone, which then ends all in order.
start_in_first_node() {
  local signal
  setsid sh "$folder/enter" "${names[0]}" "$@" <&0 &
  job=$!
  for signal in INT:130 TERM:143 HUP:129 QUIT:131; do
    trap "interrupt ${signal#*:}" "${signal%:*}"
  done
}
