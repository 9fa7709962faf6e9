"""Lockstep against others in one session, all in turn, so that a slow minute meets all of them.

usage: compare.py norms [--turns N]        every norm's forward + backward on one thread
       compare.py steps [--turns N] [--steps N] [--precision float32|bfloat16|both] [--only resnet|gpt]
                        [--norm NAME] [--ranks 1|2] [--json FILE]
                                           training steps of ResNet-20 and GPT-mini on 1 and 2 ranks
       compare.py collectives [--turns N]  all-reduces on 2 ranks against a loop in C of the same MPI

Needs `swift build -c release --product lockstep`; norms and steps need PyTorch for the Python that
runs this (`pip install torch`), collectives needs mpicc. A ratio is the median over turns of the other's time
over Lockstep's, with an interval that holds in 95% of cases for all rows of its table at once; fewer turns than
that takes (8 for 6 rows, 9 for 9, 10 for 18) span them all, and say so. In each turn the order of all is drawn anew.

`steps` runs PyTorch (torch_steps.py) eager and compiled, and ResNet-20 in both memory layouts. In a turn of its
own, before the N that count, all of these variants run once, and the two fastest stay; both then run in every
turn, and the one with the faster median over the turns is the peer, which the table names. A variant that fails
is left out, and standard error says why; compiled ones need a C++ compiler. Memory is the largest resident set
of rank 0; PyTorch's builds for GPUs load libraries of hundreds of MiB that those for CPUs alone do not
(`pip install torch --index-url https://download.pytorch.org/whl/cpu`), and the output says which it is. Where
both precisions are measured, a second table has Lockstep's own float32 time over its bfloat16 time. --json
writes everything measured, anew whenever a norm is done on a number of ranks.
"""
import argparse, csv, json, math, os, random, pathlib, statistics, subprocess, sys, tempfile

root = pathlib.Path(__file__).resolve().parents[2]
lockstep = str(root / '.build/release/lockstep')
environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONDONTWRITEBYTECODE='1')
mpirun = ['mpirun', '--bind-to', 'core'] + (['--allow-run-as-root'] if os.geteuid() == 0 else [])


def attempt(command):
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)


def run(command):
    done = attempt(command)
    if done.returncode != 0:
        sys.exit(f'{" ".join(command)}\n{done.stdout}{done.stderr}')
    return done.stdout


def bounds(ratios, rows):
    """The median of the ratios, with the interval between two order statistics (the sign interval)."""
    ordered, tail = sorted(ratios), 0.025 / rows
    n, k, below = len(ordered), 0, 0.0
    while k < n // 2 and below + math.comb(n, k) / 2 ** n <= tail:
        below += math.comb(n, k) / 2 ** n
        k += 1
    return dict(median=statistics.median(ordered), low=ordered[max(k - 1, 0)],
                high=ordered[min(n - k, n - 1)], all_turns=k == 0)


def interval(ratios, rows):
    found = bounds(ratios, rows)
    note = ' (all turns)' if found['all_turns'] else ''
    return f'{found["median"]:.2f} [{found["low"]:.2f}, {found["high"]:.2f}]{note}'


def in_any_order(turn, *works):
    """Does all of them, in an order that is the same in every session."""
    works = list(works)
    random.Random(turn).shuffle(works)
    for work in works:
        work()


def norms(turns):
    ours, theirs = {}, {}
    # The norms that PyTorch has, and two that torch_norms.py composes of its functions.
    command = [lockstep, 'bench', 'norms', '--json', '--rounds', '12', '--norms',
               'batch,sync-batch,layer,rms,group,instance,dynamic-tanh,whitening']

    def one():
        for row in json.loads(run(command))['results']:
            ours.setdefault((row['norm'], tuple(row['shape'])), []).append(row['total_ms']['median'])

    def other():
        torch = run([sys.executable, str(root / 'Tests/Peers/torch_norms.py'), '--rounds', '12'])
        for row in json.loads(torch)['results']:
            theirs.setdefault((row['norm'], tuple(row['shape'])), []).append(row['total_ms'])

    for turn in range(turns):
        in_any_order(turn, one, other)
    print('| norm | shape | Lockstep ms | PyTorch ms | ratio |\n| --- | --- | ---: | ---: | ---: |')
    for key in ours:
        # PyTorch has no synchronized batch norm for CPU tensors: its plain one stands in.
        peer = theirs[('batch' if key[0] == 'sync-batch' else key[0], key[1])]
        ratio = interval([t / o for t, o in zip(peer, ours[key])], len(ours))
        print(f'| {key[0]} | {"×".join(map(str, key[1]))} | {statistics.median(ours[key]):.2f} '
              f'| {statistics.median(peer):.2f} | {ratio} |')


networks = {'resnet': ('ResNet-20', 'Configs/bench/resnet20.yaml'),
            'gpt': ('GPT-mini', 'Configs/bench/gpt-mini.yaml')}
cells = [('resnet', 'batch', 1), ('resnet', 'batch', 2), ('resnet', 'sync-batch', 2),
         ('resnet', 'group', 1), ('resnet', 'group', 2),
         ('gpt', 'layer', 1), ('gpt', 'layer', 2), ('gpt', 'rms', 1), ('gpt', 'rms', 2)]
variants = {'eager': [], 'channels last': ['--channels-last'], 'compiled': ['--compile'],
            'compiled channels last': ['--compile', '--channels-last']}


def middle(documents, key):
    return statistics.median(document[key] for document in documents)


def step_ms(document):
    return document['step_ms']['median']


class Row:
    """A network with a norm, in one precision: its steps by Lockstep, and by PyTorch in its variants."""

    def __init__(self, work, norm, ranks, precision, steps):
        self.work, self.norm, self.ranks, self.precision, self.steps = work, norm, ranks, precision, steps
        self.ours, self.theirs, self.choosing, self.left_out = [], {}, {}, {}
        self.peer = self.ratio = self.memory_ratio = None

    def run_lockstep(self, results):
        command = mpirun + ['-n', str(self.ranks), lockstep, 'bench', 'step', networks[self.work][1],
                            '--norm', self.norm, '--steps', str(self.steps), '--json']
        if self.precision == 'bfloat16':
            command += ['--set', 'precision=bfloat16']
        results.append(json.loads(run(command)))

    def run_torch(self, variant, results):
        """Runs a variant that has not failed before, and adds what it prints to the results."""
        if variant in self.left_out:
            return
        command = [sys.executable]
        if self.ranks > 1:
            command += ['-m', 'torch.distributed.run', '--nproc-per-node', str(self.ranks)]
        command += [str(root / 'Tests/Peers/torch_steps.py'), self.work, '--norm', self.norm.replace('-', ''),
                    '--steps', str(self.steps)] + variants[variant]
        if self.precision == 'bfloat16':
            command.append('--bf16')
        done = attempt(command)
        if done.returncode == 0:
            results.setdefault(variant, []).append(json.loads(done.stdout.strip().splitlines()[-1]))
            return
        # torch.distributed.run adds an error of its own, which says no more than that there was one.
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line for line in lines if ('Error' in line and 'ChildFailedError' not in line)
                  or line.startswith('terminate called')]
        self.left_out[variant] = (errors or lines or [f'exit status {done.returncode}'])[-1]
        print(f'left out: {networks[self.work][0]}, {self.norm} norm, {self.ranks} rank(s), {self.precision}, '
              f'PyTorch {variant}: {self.left_out[variant]}', file=sys.stderr, flush=True)

    def choose(self):
        """Runs everything once, and returns the two fastest variants."""
        self.run_lockstep([])  # which tells early that it cannot run
        for variant in measured:
            if self.work == 'resnet' or 'channels last' not in variant:
                self.run_torch(variant, self.choosing)
        return sorted(self.choosing, key=lambda variant: step_ms(self.choosing[variant][0]))[:2]

    def finish(self, rows):
        """Takes the faster variant as the peer and returns the table's line."""
        whole = {v: found for v, found in self.theirs.items() if v not in self.left_out}
        line = f'| {networks[self.work][0]} | {self.norm} | {self.ranks} | {self.precision} '
        ours = f'{middle(self.ours, "per_s"):.0f}', f'{middle(self.ours, "peak_rss_mb"):.0f}'
        if not whole:
            return line + f'| {ours[0]} | – | – | {ours[1]} | – | – | none |'
        self.peer = min(whole, key=lambda variant: statistics.median(map(step_ms, whole[variant])))
        peer = whole[self.peer]
        ratios = [o['per_s'] / t['per_s'] for o, t in zip(self.ours, peer)]
        self.ratio = bounds(ratios, rows)
        self.memory_ratio = middle(peer, 'peak_rss_mb') / middle(self.ours, 'peak_rss_mb')
        return line + (f'| {ours[0]} | {middle(peer, "per_s"):.0f} | {interval(ratios, rows)} | {ours[1]} '
                       f'| {middle(peer, "peak_rss_mb"):.0f} | {self.memory_ratio:.2f} | {self.peer} |')

    def document(self):
        return dict(work=self.work, norm=self.norm, ranks=self.ranks, precision=self.precision, peer=self.peer,
                    ratio=self.ratio, memory_ratio=self.memory_ratio, lockstep=self.ours, torch=self.theirs,
                    choosing=self.choosing, left_out=self.left_out)


def look_at_machine():
    """Prints and returns the processor, PyTorch's version and whether anything else was running."""
    load = os.getloadavg()
    facts = {}
    for line in pathlib.Path('/proc/cpuinfo').read_text().splitlines():
        name, _, value = line.partition(':')
        facts.setdefault(name.strip(), value.strip())
    processor = dict(name=facts.get('model name'), family=facts.get('cpu family'), model=facts.get('model'),
                     cores=len(os.sched_getaffinity(0)))
    version, imported, built_for = run([sys.executable, '-c', (
        'import torch, resource\n'
        'peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n'
        'print(torch.__version__, peak, "CPUs" if torch.version.cuda is None else "GPUs")')]).split()
    idle = load[0] < 0.3
    print(f'processor: {processor["name"]}, family {processor["family"]}, model {processor["model"]}, '
          f'{processor["cores"]} core(s)\n'
          f'PyTorch: {version}, built for {built_for}, {float(imported):.0f} MiB once imported\n'
          f'load average before: {load[0]:.2f} over a minute, {load[1]:.2f} over five: '
          f'{"idle" if idle else "NOT idle"}\n', flush=True)
    torch = dict(version=version, built_for=built_for, imported_mb=round(float(imported), 1))
    return dict(processor=processor, torch=torch, load_average_before=load, idle=idle)


def steps(turns, each, precision, chosen, file):
    precisions = ['float32', 'bfloat16'] if precision == 'both' else [precision]
    found = dict(look_at_machine(), turns=turns, steps=each, rows=[], bfloat16_over_float32=[])
    print('| network | norm | ranks | precision | Lockstep images or tokens/s | PyTorch images or tokens/s | ratio '
          '| Lockstep MiB | PyTorch MiB | MiB ratio | PyTorch variant |\n'
          '| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |', flush=True)
    gains = []
    for work, norm, ranks in chosen:
        rows = [Row(work, norm, ranks, precision, each) for precision in precisions]
        runs = []
        for row in rows:
            runs.append(lambda row=row: row.run_lockstep(row.ours))
            for variant in row.choose():
                runs.append(lambda row=row, variant=variant: row.run_torch(variant, row.theirs))
        for turn in range(turns):
            in_any_order(turn, *runs)
        for row in rows:
            print(row.finish(len(chosen) * len(precisions)), flush=True)
            found['rows'].append(row.document())
        if len(rows) == 2:
            ratios = [step_ms(wide) / step_ms(narrow) for wide, narrow in zip(rows[0].ours, rows[1].ours)]
            found['bfloat16_over_float32'].append(
                dict(work=work, norm=norm, ranks=ranks, ratio=bounds(ratios, len(chosen))))
            gains.append(
                f'| {networks[work][0]} | {norm} | {ranks} | {statistics.median(map(step_ms, rows[0].ours)):.2f} '
                f'| {statistics.median(map(step_ms, rows[1].ours)):.2f} | {interval(ratios, len(chosen))} |')
        if file:
            pathlib.Path(file).write_text(json.dumps(found, indent=1) + '\n')
    if gains:
        print('\nbfloat16 over float32, Lockstep alone:\n\n| network | norm | ranks | float32 ms | bfloat16 ms '
              '| ratio |\n| --- | --- | ---: | ---: | ---: | ---: |', *gains, sep='\n')


def launch(program, ranks):
    """The words that start a program on ranks with a core each, by the launcher of its MPI, and its mpicc."""
    script = """
      root=$1
      source Launch/machine.sh
      source Launch/mpi.sh
      find_launcher compare.py "$2"
      begin_line "$3"
      bind_to_cores
      compiler=$(dirname "$launcher")/mpicc
      [[ "$launcher" != *.mpich && "$launcher" != *.openmpi ]] || compiler+=.${launcher##*.}
      printf '%s\\n' "$(type -P "$compiler" || echo mpicc)" "${line[@]}"
      """
    words = run(['bash', '-c', script, 'bash', str(root), program, str(ranks)]).splitlines()
    return words[0], words[1:]


def collectives(turns, programs):
    sizes = [8, 64, 1024, 16384, 262144, 1 << 20]
    ours, theirs = [{} for _ in programs], [{} for _ in programs]
    with tempfile.TemporaryDirectory() as folder:
        works = []
        for number, program in enumerate(programs):
            compiler, on_two = launch(program, 2)
            peer = f'{folder}/collectives-{number}'
            run([compiler, '-O2', '-o', peer, str(root / 'Tests/Peers/collectives.c')])
            bench = [program, 'bench', 'collectives', '--operations', 'all-reduce', '--csv', '--sizes',
                     ','.join(map(str, sizes))]

            def measure(table, command, on_two=on_two):
                for row in csv.DictReader(run(on_two + command).splitlines()):
                    table.setdefault(int(row['bytes']), []).append(float(row['tight_median_us']))

            # 20 batches each, which is one for every five of the benchmark's repetitions.
            works += [
                lambda table=ours[number], line=bench + ['--repetitions', '100'], m=measure: m(table, line),
                lambda table=theirs[number], line=[peer, '20'] + list(map(str, sizes)), m=measure: m(table, line)]
        for turn in range(turns):
            in_any_order(turn, *works)
    for number, program in enumerate(programs):
        doctor = run([program, 'doctor']).splitlines()
        print('\n' + next(line for line in doctor if line.startswith('MPI')).split(None, 1)[1] + '\n')
        print('| bytes | Lockstep µs | C µs | ratio |\n| ---: | ---: | ---: | ---: |')
        for size in sizes:
            ratio = interval([t / o for t, o in zip(theirs[number][size], ours[number][size])], len(sizes))
            print(f'| {size} | {statistics.median(ours[number][size]):.2f} '
                  f'| {statistics.median(theirs[number][size]):.2f} | {ratio} |')


def count(text):
    if int(text) < 1:
        raise argparse.ArgumentTypeError('has to be 1 or more')
    return int(text)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
kinds = parser.add_subparsers(dest='what', required=True)
for name in ('norms', 'steps', 'collectives'):
    kinds.add_parser(name).add_argument('--turns', type=count, default=5, help='5 if not given')
kinds.choices['collectives'].add_argument(
    '--programs', metavar='PATHS', default=lockstep,
    help='lockstep built with one MPI or several, separated by commas (%(default)s)')
of_steps = kinds.choices['steps']
of_steps.add_argument('--steps', type=count, default=10, help='steps in every run, 10 if not given')
of_steps.add_argument('--precision', choices=['float32', 'bfloat16', 'both'], default='both')
of_steps.add_argument('--only', choices=list(networks), help='this network alone')
of_steps.add_argument('--norm', choices=sorted({norm for _, norm, _ in cells}), help='this norm alone')
of_steps.add_argument('--ranks', type=int, choices=[1, 2], help='this number of ranks alone')
of_steps.add_argument('--variants', metavar='NAMES', default=','.join(variants),
                      help='these of PyTorch alone, separated by commas (%(default)s): what was slower before '
                           'need not be measured again')
of_steps.add_argument('--json', metavar='FILE', help='where to write everything measured')
arguments = parser.parse_args()
if arguments.what == 'steps':
    measured = arguments.variants.split(',')
    if unknown := [name for name in measured if name not in variants]:
        parser.error(f'--variants: "{unknown[0]}" is not one of {", ".join(variants)}')
    wanted = (arguments.only, arguments.norm, arguments.ranks)
    chosen = [cell for cell in cells if all(want in (None, have) for want, have in zip(wanted, cell))]
    if not chosen:
        parser.error('no row of the table has this --only, --norm and --ranks')
    steps(arguments.turns, arguments.steps, arguments.precision, chosen, arguments.json)
elif arguments.what == 'collectives':
    collectives(arguments.turns, [str(pathlib.Path(path).resolve()) for path in arguments.programs.split(',')])
else:
    norms(arguments.turns)
