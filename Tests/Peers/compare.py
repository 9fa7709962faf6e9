"""Lockstep against others in one session, the two in turn, so that a slow minute meets both.

usage: compare.py norms [--turns N]        every norm's forward + backward on one thread
       compare.py steps [--turns N]        training steps of ResNet-20 at 1 and 2 ranks
       compare.py collectives [--turns N]  all-reduces on 2 ranks against a loop in C

Needs `swift build -c release --product lockstep`; norms and steps need PyTorch for the Python that
runs this, collectives needs mpicc. `steps` runs ../shared/peers/torch_ddp.py, as it is and with channels-last tensors, and takes
whichever is the faster. A ratio is the median over turns of the other's time over Lockstep's, with an
interval that holds in 95% of cases for all rows at once; fewer turns than that takes (8 for 6 rows) span them
all, and say so. In each turn the order of the two is drawn anew.
"""
import argparse, csv, json, math, os, random, pathlib, statistics, subprocess, sys, tempfile

root = pathlib.Path(__file__).resolve().parents[2]
lockstep = str(root / '.build/release/lockstep')
environment = dict(os.environ, OMP_NUM_THREADS='1', PYTHONDONTWRITEBYTECODE='1')
mpirun = ['mpirun', '--bind-to', 'core'] + (['--allow-run-as-root'] if os.geteuid() == 0 else [])


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root)
    if done.returncode != 0:
        sys.exit(f'{" ".join(command)}\n{done.stdout}{done.stderr}')
    return done.stdout


def interval(ratios, rows):
    """The median of the ratios, with the interval between two order statistics (the sign interval)."""
    ordered, tail = sorted(ratios), 0.025 / rows
    n, k, below = len(ordered), 0, 0.0
    while k < n // 2 and below + math.comb(n, k) / 2 ** n <= tail:
        below += math.comb(n, k) / 2 ** n
        k += 1
    low, high = ordered[max(k - 1, 0)], ordered[min(n - k, n - 1)]
    note = '' if k else ' (all turns)'
    return f'{statistics.median(ordered):.2f} [{low:.2f}, {high:.2f}]{note}'


def in_any_order(turn, *pair):
    """Does both, in an order that is the same in every session."""
    pair = list(pair)
    random.Random(turn).shuffle(pair)
    for work in pair:
        work()


def norms(turns):
    ours, theirs = {}, {}
    # The norms that PyTorch has.
    command = [lockstep, 'bench', 'norms', '--json', '--rounds', '12', '--norms',
               'batch,sync-batch,layer,rms,group,instance']

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


def steps(turns):
    peer = root.parent / 'shared/peers/torch_ddp.py'
    text = peer.read_text()
    last = tempfile.NamedTemporaryFile('w', suffix='.py', delete=False)
    last.write(text.replace(
        'm = resnet20(a.norm)', 'm = resnet20(a.norm).to(memory_format=torch.channels_last)'
    ).replace('x, y = torch.randn(B, 3, 32, 32)',
              'x, y = torch.randn(B, 3, 32, 32).to(memory_format=torch.channels_last)'))
    last.close()
    torchrun = [sys.executable, '-m', 'torch.distributed.run']
    print('| norm | ranks | Lockstep images/s | PyTorch images/s | ratio | Lockstep MiB '
          '| PyTorch MiB |\n| --- | ---: | ---: | ---: | ---: | ---: | ---: |')
    for norm, torch_norm in (('batch', 'batch'), ('sync-batch', 'syncbatch'), ('group', 'group')):
        for ranks in (1, 2):
            if ranks == 1 and norm == 'sync-batch':
                torch_norm = 'batch'  # the peer's synchronized norm needs a process group
            elif norm == 'sync-batch':
                torch_norm = 'syncbatch'
            ours, theirs = [], []

            def one():
                ours.append(json.loads(run(mpirun + [
                    '-n', str(ranks), lockstep, 'bench', 'step', 'Configs/bench/resnet20.yaml',
                    '--norm', norm, '--steps', '10', '--json'])))

            def other():
                both = []
                for script in (str(peer), last.name):
                    work = [script, 'resnet', '--norm', torch_norm, '--steps', '10']
                    command = [sys.executable] + work if ranks == 1 else (
                        torchrun + [f'--nproc-per-node={ranks}'] + work)
                    both.append(json.loads(run(command).strip().splitlines()[-1]))
                theirs.append(max(both, key=lambda r: r['per_s']))

            for turn in range(turns):
                in_any_order(turn, one, other)
            ratio = interval([o['per_s'] / t['per_s'] for o, t in zip(ours, theirs)], 6)
            middle = lambda rows, key: statistics.median(r[key] for r in rows)
            print(f'| {norm} | {ranks} | {middle(ours, "per_s"):.0f} | {middle(theirs, "per_s"):.0f} '
                  f'| {ratio} | {middle(ours, "peak_rss_mb"):.0f} '
                  f'| {middle(theirs, "rss_mb"):.0f} |', flush=True)
    os.unlink(last.name)


def collectives(turns):
    sizes = [8, 64, 1024, 16384, 262144, 1 << 20]
    ours, theirs = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        peer = folder + '/collectives'
        run(['mpicc', '-O2', '-o', peer, str(root / 'Tests/Peers/collectives.c')])
        on_two = mpirun + ['-n', '2']
        bench = [lockstep, 'bench', 'collectives', '--operations', 'all-reduce', '--csv', '--sizes',
                 ','.join(map(str, sizes))]
        def measure(table, command):
            for row in csv.DictReader(run(on_two + command).splitlines()):
                table.setdefault(int(row['bytes']), []).append(float(row['tight_median_us']))

        for turn in range(turns):
            # 20 batches each, which is one for every five of the benchmark's repetitions.
            in_any_order(turn, lambda: measure(ours, bench + ['--repetitions', '100']),
                         lambda: measure(theirs, [peer, '20'] + list(map(str, sizes))))
    print('| bytes | Lockstep µs | C µs | ratio |\n| ---: | ---: | ---: | ---: |')
    for size in sizes:
        ratio = interval([t / o for t, o in zip(theirs[size], ours[size])], len(sizes))
        print(f'| {size} | {statistics.median(ours[size]):.2f} '
              f'| {statistics.median(theirs[size]):.2f} | {ratio} |')


parser = argparse.ArgumentParser()
parser.add_argument('what', choices=['norms', 'steps', 'collectives'])
parser.add_argument('--turns', type=int, default=5)
arguments = parser.parse_args()
{'norms': norms, 'steps': steps, 'collectives': collectives}[arguments.what](arguments.turns)
