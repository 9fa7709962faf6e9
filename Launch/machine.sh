# What this machine has, and how to speak of it. For scripts to source.

# Prints one processor of every core that this process may use: what shares a core shares its time.
# Not what `nproc` prints, which obeys OMP_NUM_THREADS.
physical_cores() {
  local allowed range processor siblings
  allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
  for range in ${allowed//,/ }; do seq "${range%-*}" "${range#*-}"; done | while read -r processor; do
    siblings=/sys/devices/system/cpu/cpu$processor/topology/thread_siblings_list
    echo "$processor" "$(cat "$siblings" 2>/dev/null || echo "$processor")"
  done | awk '!seen[$2]++ { print $1 }'
}

# Whether this process may use fewer processors than the machine has.
is_confined() {
  [[ -r /sys/devices/system/cpu/online ]] &&
    [[ "$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)" != "$(</sys/devices/system/cpu/online)" ]]
}

# Writes a message to standard error. One that cannot be written, since nobody reads or the disk is full, is
# dropped: it is not worth the run.
say() { (printf '%s\n' "$*" >&2) || :; }

# Prints words as they are typed into a shell.
as_typed() {
  local word line=
  for word; do
    [[ "$word" =~ ^[-A-Za-z0-9_./=,:+@%]+$ ]] || word="'${word//\'/"'\\''"}'"
    line+=${line:+ }$word
  done
  printf '%s\n' "$line"
}
