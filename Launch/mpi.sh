# Which MPI a program is linked with, the launcher that belongs to it, and how that launcher is spoken to.
# For scripts to source, after machine.sh. All that scripts have to know of one launcher is here.

# Prints the packages that an MPI of Debian needs: LOCKSTEP_MPI's choice, else what is missing of the one that
# mpicc belongs to, else Open MPI. None for an MPI in a folder of its own.
mpi_packages() {
  case "${LOCKSTEP_MPI:-}" in
    openmpi) echo libopenmpi-dev openmpi-bin ;;
    mpich) echo libmpich-dev mpich ;;
    '')
      if ! command -v mpicc >/dev/null; then
        echo libopenmpi-dev openmpi-bin
      elif ! command -v mpiexec >/dev/null; then
        if [[ "$(mpicc -show 2>/dev/null)" == *mpich* ]]; then echo mpich; else echo openmpi-bin; fi
      fi
      ;;
  esac
}

# Prints the MPI of this system, openmpi or mpich, that is not built with by default; nothing if there is only
# one, or LOCKSTEP_MPI chooses.
other_mpi() {
  local name
  [[ -z "${LOCKSTEP_MPI:-}" ]] || return 0
  for name in mpich:mpich openmpi:ompi-c; do
    if pkg-config --exists mpi-c "${name#*:}" &&
      [[ "$(pkg-config --cflags mpi-c)" != "$(pkg-config --cflags "${name#*:}")" ]]; then
      echo "${name%:*}"
      return
    fi
  done
}

# Ends with status 2 and a message if LOCKSTEP_MPI names nothing that one can build with. The manifest
# decides, and the package manager would surround its message with its own.
check_mpi_choice() {
  local said
  [[ -n "${LOCKSTEP_MPI:-}" ]] || return 0
  said=$(swift package --package-path "$root" dump-package 2>&1 >/dev/null | grep '^LOCKSTEP_MPI ' | head -n 1) || :
  [[ -z "$said" ]] || { say "$said"; exit 2; }
}

# Prints the folder of builds: one for each choice of LOCKSTEP_MPI, so that they stand side by side.
build_folder() {
  case "${LOCKSTEP_MPI:-}" in
    '') echo "$root/.build" ;;
    *) echo "$root/.build-$(printf %s "${LOCKSTEP_MPI#/}" | tr -c 'A-Za-z0-9\n' -)" ;;
  esac
}

# Prints the dialect of a launcher, by what it says of itself: openmpi (Open MPI up to 4), prrte (Open MPI
# 5), hydra (MPICH) or intel; nothing for any other.
dialect_of() {
  local version
  version=$("$1" --version 2>/dev/null | head -n 3 | tr '\n' ' ') || :
  case "$version" in
    *OpenRTE* | *"(Open MPI) "[1-4].*) echo openmpi ;;
    *"Open MPI"* | *PRRTE*) echo prrte ;;
    *"Intel(R) MPI"*) echo intel ;;
    *HYDRA*) echo hydra ;;
  esac
}

# Prints the family of a library, by the name of its file: openmpi, mpich (and Intel's), or abi.
family_of() {
  case "$(basename "$1")" in
    libmpi_abi.*) echo abi ;;
    libmpich.* | libmpi.so.12*) echo mpich ;;
    libmpi.so.*) echo openmpi ;;
  esac
}

# Finds the launcher of the MPI that a program is linked with. Sets `launcher` and `dialect`; ends with
# status 2 if there is none. LOCKSTEP_MPIEXEC overrides the choice. A program without MPI, such as a shell,
# gets the launcher of this package's build, else the one on the PATH.
# usage: find_launcher TOOL PROGRAM
find_launcher() {
  local tool=$1 program=$2 library='' family='' folder name place
  place=$(type -P "$program") || place=$program
  for name in "$place" "$(build_folder)/release/lockstep"; do
    [[ -z "$library" ]] || break
    library=$(ldd "$name" 2>/dev/null | awk '$1 ~ /^libmpi(ch|_abi)?\.so/ { print $1, $3; exit }') || :
  done
  if [[ "$library" == *" not" ]]; then
    say "$tool: $program needs ${library% *}, which the dynamic loader does not find; put the folder of that" \
      "MPI's library into LD_LIBRARY_PATH"
    exit 2
  fi
  library=${library#* }
  [[ -z "$library" ]] || family=$(family_of "$library")
  launcher=${LOCKSTEP_MPIEXEC:-}
  if [[ -n "$launcher" ]]; then
    type -P "$launcher" >/dev/null || {
      say "$tool: LOCKSTEP_MPIEXEC is \"$launcher\", which is not a program"
      exit 2
    }
    dialect=$(dialect_of "$launcher")
    return
  fi
  # Beside the library first, since several MPIs may be on a machine.
  folder=$(dirname "${library:-/}")
  while [[ "$folder" != / && ! -d "$folder/bin" ]]; do folder=$(dirname "$folder"); done
  for place in ${library:+"${folder%/}/bin/"} ''; do
    for name in ${family:+"mpiexec.$family" "mpirun.$family" mpiexec.hydra} mpiexec mpirun; do
      launcher=$(type -P "$place$name") || continue
      dialect=$(dialect_of "$launcher")
      case "$family $dialect" in
        " "* | abi\ * | openmpi\ openmpi | openmpi\ prrte | mpich\ hydra | mpich\ intel) return ;;
      esac
    done
  done
  if [[ -n "$library" ]]; then
    say "$tool: $program is linked with $library, but its MPI's mpiexec is neither in ${folder%/}/bin nor on" \
      "the PATH; install it, or set LOCKSTEP_MPIEXEC to its path"
  else
    say "$tool: there is no mpiexec; install openmpi-bin or mpich (Launch/demo installs one)"
  fi
  exit 2
}

# Sets `line` to the beginning of a command line: the launcher and the number of ranks.
# usage: begin_line RANKS
begin_line() {
  local name
  line=("$launcher")
  # By its name where the PATH has it: Open MPI takes a path in a line for its prefix on all nodes.
  for name in mpirun mpiexec "$(basename "$launcher")"; do
    [[ ! "$(type -P "$name")" -ef "$launcher" ]] || { line=("$name"); break; }
  done
  line+=(-n "$1")
  case "$dialect" in
    openmpi | prrte) if [[ $(id -u) -eq 0 ]]; then line+=(--allow-run-as-root); fi ;;
  esac
}

# Lets ranks share cores. Waiting ranks yield theirs where the library can; otherwise ranks that compute
# would get none.
let_ranks_share_cores() {
  case "$dialect" in
    openmpi) line+=(--oversubscribe --bind-to none --mca mpi_yield_when_idle 1) ;;
    prrte) line+=(--map-by :OVERSUBSCRIBE --bind-to none --mca mpi_yield_when_idle 1) ;;
    hydra) line+=(-bind-to none) ;;
    intel) line+=(-genv I_MPI_PIN 0 -genv I_MPI_THREAD_YIELD 2) ;;
  esac
}

# Gives every rank of one machine a core of its own, of those that are named. Open MPI up to 4 needs a file
# for it, whose lines are also put into `places_of_ranks`.
# usage: bind_ranks FILE CORE…
bind_ranks() {
  local file=$1 rank
  shift
  places_of_ranks=()
  case "$dialect" in
    openmpi)
      for ((rank = 0; rank < $#; rank++)); do
        places_of_ranks+=("rank $rank=localhost slot=${*:rank + 1:1}")
      done
      printf '%s\n' "${places_of_ranks[@]}" >"$file"
      line+=(--rankfile "$file" --mca rmaps_rank_file_physical 1)
      ;;
    prrte) line+=(--map-by "pe-list=$(IFS=,; echo "$*"):ordered" --bind-to core) ;;
    hydra) line+=(-bind-to "user:$(IFS=,; echo "$*")") ;;
    intel) line+=(-genv I_MPI_PIN_PROCESSOR_LIST "$(IFS=,; echo "$*")") ;;
  esac
}

# Gives every rank a core that the launcher chooses.
bind_to_cores() {
  case "$dialect" in
    openmpi | prrte) line+=(--bind-to core) ;;
    hydra) line+=(-bind-to core) ;;
    intel) line+=(-genv I_MPI_PIN_DOMAIN core) ;;
  esac
}

# Starts the ranks in the nodes that make_nodes made (Launch/nodes.sh), consecutive ranks together, each on
# the core that is named for it. All data go through the nodes' network, also within a node. `fail` is the caller's.
# usage: join_nodes RANKS_PER_NODE CORE…
join_nodes() {
  local each=$1 hosts='' name rank
  shift
  # Launchers call this agent in place of ssh, with a node and a line for a shell there.
  cat >"$folder/agent" <<END
#!/bin/sh
while [ "\${1#-}" != "\$1" ]; do shift; done
node=\$1
shift
exec sh "$folder/enter" "\$node" sh -c "\$*"
END
  chmod 755 "$folder/agent"
  # A rank binds itself where its launcher would count the cores of each node from the first.
  printf '%s\n' "cores='$*'" 'shift_to=$((${PMI_RANK:-$OMPI_COMM_WORLD_RANK} + 1))' \
    'exec taskset -c "$(echo "$cores" | cut -d " " -f "$shift_to")" "$@"' >"$folder/bind"
  case "$dialect" in
    openmpi)
      for name in "${names[@]}"; do hosts+=${hosts:+,}$name:$each; done
      for ((rank = 0; rank < $#; rank++)); do
        echo "rank $rank=${names[rank / each]} slot=${*:rank + 1:1}"
      done >"$folder/ranks"
      line+=(
        --host "$hosts" --rankfile "$folder/ranks" --mca rmaps_rank_file_physical 1
        --mca plm_rsh_agent "sh $folder/agent" --mca orte_tmpdir_base "$folder"
        --mca pml ob1 --mca btl tcp,self
        --mca btl_tcp_if_include eth0 --mca oob_tcp_if_include eth0
      )
      ;;
    prrte)
      for name in "${names[@]}"; do hosts+=${hosts:+,}$name:$each; done
      line+=(
        --host "$hosts" --map-by "ppr:$each:node" --bind-to none
        --prtemca plm_ssh_agent "$folder/agent" --prtemca prte_tmpdir_base "$folder"
        --prtemca prte_if_include eth0
        --mca pml ob1 --mca btl tcp,self --mca btl_tcp_if_include eth0
        sh "$folder/bind"
      )
      ;;
    hydra)
      # UCX and libfabric are told of the nodes' network, whichever this MPICH is built with.
      line+=(
        -hosts "$(IFS=,; echo "${names[*]}")" -ppn "$each" -bind-to none -iface eth0
        -launcher ssh -launcher-exec "$folder/agent"
        -genv MPIR_CVAR_NOLOCAL 1
        -genv UCX_TLS tcp,self -genv UCX_NET_DEVICES eth0
        -genv FI_PROVIDER tcp -genv FI_TCP_IFACE eth0
        sh "$folder/bind"
      )
      ;;
    intel)
      line+=(
        -hosts "$(IFS=,; echo "${names[*]}")" -ppn "$each" -iface eth0
        -bootstrap ssh -bootstrap-exec "$folder/agent"
        -genv I_MPI_PIN 0 -genv I_MPI_FABRICS ofi -genv I_MPI_OFI_PROVIDER tcp -genv FI_TCP_IFACE eth0
        sh "$folder/bind"
      )
      ;;
    *) fail "$launcher is of no MPI that can join nodes here; use Open MPI, MPICH or Intel MPI" ;;
  esac
}

# Passes on what a launcher and its ranks write to standard error. What only says that ranks ended with a
# status that they chose (2, 3 or 75) is held back and put into a file: they have said why themselves.
# usage: hold_back_epilogue FILE
hold_back_epilogue() {
  local text rule=''
  # How Open MPI's messages about it begin, between two lines of dashes.
  local ends='MPI_ABORT was invoked|Primary job|more processes exited|has exited due to|noticed that process'
  ends+='|non-zero (status|exit)'
  trap '' INT TERM HUP USR1
  while IFS= read -r text || [[ -n "$text" ]]; do
    if [[ "$rule" == held ]]; then
      printf '%s\n' "$text" >>"$1"
      if [[ "$text" =~ ^-{60,}$ ]]; then rule=''; fi
    elif [[ -n "$rule" && "$text" =~ $ends ]]; then
      printf '%s\n' "$rule" "$text" >>"$1"
      rule=held
    else
      if [[ -n "$rule" ]]; then printf '%s\n' "$rule" >&2 || :; rule=''; fi
      if [[ "$text" =~ ^-{60,}$ ]]; then
        rule=$text
      elif [[ "$text" =~ ^Abort\([0-9]+\)\ on\ node\ .*\ MPI_Abort\( ||
        "$text" == *"more process has sent help message help-mpi-api.txt"* ||
        "$text" == *'Set MCA parameter "orte_base_help_aggregate"'* ||
        "$text" == *ORTE_ERROR_LOG:*show_help.c* ]]; then
        printf '%s\n' "$text" >>"$1"
      else
        printf '%s\n' "$text" >&2 || :
      fi
    fi
  done
  if [[ -n "$rule" && "$rule" != held ]]; then printf '%s\n' "$rule" >&2 || :; fi
}

# Waits until the ranks' last lines have been passed on, but not for a process that outlives the launcher. Then
# prints what was held back, unless the ranks chose `status`. `filter` is the process of hold_back_epilogue.
# usage: end_epilogue FILE STATUS
end_epilogue() {
  local look
  for ((look = 0; look < 100; look++)); do
    kill -0 "$filter" 2>/dev/null || break
    sleep 0.02
  done
  case "$2" in
    2 | 3 | 75) ;;
    *) if [[ -s "$1" ]]; then say "$(<"$1")"; fi ;;
  esac
}
