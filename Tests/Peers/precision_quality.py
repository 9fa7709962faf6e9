"""Does bfloat16 train as well as float32? The same runs in both, paired by seed.

usage: precision_quality.py [--seeds N] [--set KEY=VALUE]… CONFIG…

Needs `swift build -c release --product lockstep`. Prints, for every configuration, the final test loss and accuracy in
both precisions, and the median over seeds of the difference with the interval that the smallest and the largest
span; five seeds all on one side are a chance of 1 in 16 where there is no difference.
"""
import argparse, json, pathlib, statistics, subprocess, sys, tempfile

root = pathlib.Path(__file__).resolve().parents[2]


def train(config, seed, precision, assignments):
    """The last evaluation of a run."""
    with tempfile.TemporaryDirectory() as folder:
        run = f'{folder}/run'
        command = [root / '.build/release/lockstep', 'train', config, '--run-dir', run, '--set', f'seed={seed}',
                   '--set', f'precision={precision}']
        for assignment in assignments:
            command += ['--set', assignment]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        rows = [json.loads(line) for line in open(f'{run}/metrics.jsonl')]
        return [row for row in rows if 'split' in row][-1]


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('configs', nargs='+', metavar='CONFIG')
parser.add_argument('--seeds', type=int, default=5)
parser.add_argument('--set', action='append', default=[], dest='assignments')
arguments = parser.parse_args()
print('| configuration | figure | float32 | bfloat16 | difference, median [least, largest] |\n'
      '| --- | --- | ---: | ---: | ---: |')
for config in arguments.configs:
    pairs = [[train(config, seed, precision, arguments.assignments) for precision in ('float32', 'bfloat16')]
             for seed in range(1, arguments.seeds + 1)]
    for figure in ('loss', 'accuracy', 'exactMatch'):
        if any(row.get(figure) is None for pair in pairs for row in pair):
            continue
        wide, narrow = [[pair[i][figure] for pair in pairs] for i in (0, 1)]
        apart = sorted(b - a for a, b in zip(wide, narrow))
        print(f'| {pathlib.Path(config).stem} | {figure} | {statistics.median(wide):.4f} '
              f'| {statistics.median(narrow):.4f} '
              f'| {statistics.median(apart):+.4f} [{apart[0]:+.4f}, {apart[-1]:+.4f}] |', flush=True)
