# Nodes inside this machine: every node is a network namespace with its own host name, and a bridge
# in another namespace joins them. For scripts to source. They first define `fail`, which prints its
# arguments and exits.

# Removes everything once the pipe that it reads from is closed. That happens when this process asks
# for it or ends, however it ends. Signals do not reach this function. What is started in a node
# closes the pipe, descriptor 9, only after it has entered the node, where this function finds it.
clean_up() {
  cat >/dev/null
  local namespaces pids tries
  # The order matters: mpirun, in the first node, starts what enters the other nodes.
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

# Runs a command that makes the nodes; if it fails, prints the command's own message.
make() {
  "$@" 2>"$folder/errors" ||
    fail "\`$*\` failed: $(head -n 1 "$folder/errors"); check whether this kernel, and the" \
      "container around it, allow it"
}
# Writes settings of a node's network, which are files; an older kernel may lack some.
set_up() {
  ip netns exec "$1" sh -c 'cd /proc/sys/net; for setting; do
    [ ! -e "${setting%=*}" ] || echo "${setting#*=}" >"${setting%=*}"; done' sh "${@:2}"
}

# Makes as many nodes as the argument says; they are removed when this process ends. Sets
# - `prefix`, which contains this process's number, so that clusters do not interfere: a node's
#   namespace is $prefix-NAME
# - `wires`, the namespace of the bridge, whose ports are named port0, port1, …
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

  trap '' INT TERM HUP QUIT USR1
  # Paths in mpirun's settings must not contain blanks, so TMPDIR is not used.
  folder=$(mktemp -d "/tmp/$prefix-XXXXXX") || fail "/tmp cannot be written to; make room there"
  exec 9> >(clean_up >&2)
  cleaner=$!
  trap 'trap "" INT TERM HUP QUIT USR1; exec 9>&-; wait "$cleaner" || :' EXIT
  for signal in INT:130 TERM:143 HUP:129 QUIT:131 USR1:138; do
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
    # IPv6 would look for neighbours, which causes extra traffic.
    make set_up "$space" ipv6/conf/all/disable_ipv6=1
    make ip -n "$space" link set lo up
    # Both ends are created inside the namespaces, so none shows up among the machine's own interfaces.
    make ip -n "$space" link add eth0 type veth peer name "port$node" netns "$wires"
    make ip -n "$wires" link set "port$node" master bridge up
    make ip -n "$space" address add "${addresses[node]}/16" dev eth0 noprefixroute
    make ip -n "$space" link set eth0 up
    make ip -n "$space" route add 10.0.0.0/16 dev eth0 src "${addresses[node]}"
    echo "${addresses[node]} ${names[node]}" >>"$folder/hosts"
  done

  # The script that enters a node, with the node's host name and the names of all nodes.
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

# Ends `job`, which runs in the first node, and then this script with the given status.
interrupt() {
  trap '' INT TERM HUP QUIT USR1
  kill -TERM "$job" 2>/dev/null || :
  # mpirun gives the ranks a moment; what is left after ten seconds ends with the nodes.
  local tries
  for tries in {1..100}; do
    kill -0 "$job" 2>/dev/null || break
    sleep 0.1
  done
  exit "$1"
}

# Runs a command in the first node, in the background, as `job`. It gets its own session, so that
# Ctrl-C reaches only this script, which then ends everything in order.
start_in_first_node() {
  local signal
  setsid sh "$folder/enter" "${names[0]}" "$@" <&0 &
  job=$!
  for signal in INT:130 TERM:143 HUP:129 QUIT:131 USR1:138; do
    trap "interrupt ${signal#*:}" "${signal%:*}"
  done
}
