"""Predictions against steps that were measured: networks, norms and fabrics, on two ranks of this machine.

usage: prediction_grid.py [--steps N] [--fabrics a,b,…] [--networks a,b,…] [--output FILE]

Measures each fabric by `bench collectives --fabric`, then runs `bench prediction` there for ResNet-20, the digits
ResNet and GPT-mini under batch, sync-batch, layer and RMS norm, and prints each error, the median and the worst.
Needs `swift build -c release`, and root for the networks other than shared memory.
"""
import argparse, json, os, pathlib, statistics, subprocess, sys, tempfile

root = pathlib.Path(__file__).resolve().parents[2]
lockstep = str(root / '.build/release/lockstep')
fabrics = {'shared memory': ['Launch/run', '-n', '2', '--'],
           '1 Gbit/s': ['Launch/local-cluster', '-n', '2', '--rate', '1gbit', '--'],
           '100 Mbit/s': ['Launch/local-cluster', '-n', '2', '--rate', '100mbit', '--'],
           '1 Gbit/s with 100 µs': ['Launch/local-cluster', '-n', '2', '--rate', '1gbit', '--delay', '100us', '--']}
networks = {'ResNet-20': (['Configs/bench/resnet20.yaml'], 1.0),
            'digits ResNet': (['Configs/digits-resnet.yaml', '--set', 'batch=null', '--set',
                               'batchPerRank=64'], 4.0),
            'GPT-mini': (['Configs/bench/gpt-mini.yaml'], 0.5)}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=root)
    # 1: an error is larger than predictions promise, which is what is to be seen.
    if done.returncode not in (0, 1):
        sys.exit(f'{" ".join(command)}\n{done.stdout}{done.stderr}')
    return done.stdout


parser = argparse.ArgumentParser()
parser.add_argument('--steps', type=int, default=24)
parser.add_argument('--fabrics', default=','.join(fabrics))
parser.add_argument('--networks', default=','.join(networks))
parser.add_argument('--output')
arguments = parser.parse_args()
rows = []
print('| network | fabric | norm | one rank ms | predicted ms | measured ms | error | left out |\n'
      '| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |')
with tempfile.TemporaryDirectory() as folder:
    for fabric in arguments.fabrics.split(','):
        launch = fabrics[fabric]
        if len(launch) > 4 and os.geteuid() != 0:
            continue
        file = f'{folder}/{len(rows)}.json'
        run(launch + [lockstep, 'bench', 'collectives', '--operations', 'all-reduce,all-reduce-begun',
                      '--sizes', '256,1k,16k,128k,1m', '--repetitions', '30', '--fabric', file])
        for network in arguments.networks.split(','):
            configuration, share = networks[network]
            steps = max(6, round(share * arguments.steps))
            found = json.loads(run(launch + [
                lockstep, 'bench', 'prediction'] + configuration + [
                '--fabric', file, '--norms', 'batch,sync-batch,layer,rms', '--steps', str(steps), '--json']))
            for row in found['results']:
                rows.append(dict(row, network=network, fabric=fabric))
                print(f'| {network} | {fabric} | {row["norm"]} | {row["alone_ms"]["median"]:.2f} '
                      f'| {row["predicted"]["step_ms"]["median"]:.2f} '
                      f'| {row["measured_ms"]["median"]:.2f} | {100 * row["error"]:+.1f}% '
                      f'| {found["disturbed"]["disturbed"]} of {found["disturbed"]["steps"]} |', flush=True)
sizes = sorted(abs(row['error']) for row in rows)
print(f'\n{len(sizes)} cells: median {100 * statistics.median(sizes):.1f}%, worst {100 * sizes[-1]:.1f}%')
if arguments.output:
    pathlib.Path(arguments.output).write_text(json.dumps(rows, indent=1))
