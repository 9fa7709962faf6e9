# Which processors this machine has, and how to print messages. For scripts to source.

# Prints one processor of every core that this process may use, since processors of one core share its
# time. `nproc` would not do, since it obeys OMP_NUM_THREADS.
physical_cores() {
  local processor siblings
  allowed_processors | while read -r processor; do
    siblings=/sys/devices/system/cpu/cpu$processor/topology/thread_siblings_list
    echo "$processor" "$(cat "$siblings" 2>/dev/null || echo "$processor")"
  done | awk '!seen[$2]++ { print $1 }'
}

# Prints the processors of a list like 0-3,8, one on each line.
processors() {
  local range
  for range in ${1//,/ }; do seq "${range%-*}" "${range#*-}"; done
}

# Prints the online processors that this process may use: some machines also allow ones that are not
# plugged in.
allowed_processors() {
  local allowed online
  allowed=$(sed -n 's/^Cpus_allowed_list:[[:space:]]*//p' /proc/self/status)
  online=$(cat /sys/devices/system/cpu/online 2>/dev/null || echo "$allowed")
  awk 'NR == FNR { online[$1]; next } $1 in online' <(processors "$online") <(processors "$allowed")
}

# Whether this process may use fewer processors than the machine has.
is_confined() {
  local online
  online=$(cat /sys/devices/system/cpu/online 2>/dev/null) || return 1
  (($(allowed_processors | wc -l) < $(processors "$online" | wc -l)))
}

# Writes a message to standard error. If nobody reads or the disk is full, the message is dropped: it is
# not worth ending the run.
say() { (printf '%s\n' "$*" >&2) || :; }

# Prints words as one would type them into a shell.
as_typed() {
  local word line=
  for word; do
    [[ "$word" =~ ^[-A-Za-z0-9_./=,:+@%]+$ ]] || word="'${word//\'/"'\\''"}'"
    line+=${line:+ }$word
  done
  printf '%s\n' "$line"
}
