"""PyTorch's norms by themselves on one CPU thread: forward and backward.

usage: torch_norms.py [--rounds N] [--shapes 2048x1024 …]
Prints one JSON document: for each norm and shape the median of forward + backward in milliseconds,
in whichever memory layout is the faster. A shape of two axes is rows by channels; instance norm,
which needs positions, takes 128 rows as a sample, as `lockstep bench norms` does.
"""
import argparse, json, statistics, time
import torch, torch.nn.functional as F

parser = argparse.ArgumentParser()
parser.add_argument('--rounds', type=int, default=30)
parser.add_argument('--shapes', nargs='+', default=['2048x1024', '16384x768', '32x64x32x32'])
arguments = parser.parse_args()
torch.set_num_threads(1)
torch.manual_seed(0)


def whiten(rows, w, b):
    """Whitening in 8 groups of channels, (S + εI)^(−1/2) (x − μ), with the inverse root in float64."""
    groups = rows.unflatten(-1, (8, -1))
    t = groups - groups.mean(0)
    covariance = torch.einsum('ngi,ngj->gij', t, t).double() / len(rows)
    values, vectors = torch.linalg.eigh(covariance + 1e-5 * torch.eye(t.shape[-1], dtype=torch.float64))
    root = ((vectors * values.rsqrt().unsqueeze(-2)) @ vectors.mT).float()
    return torch.einsum('gij,ngj->ngi', root, t).flatten(1) * w + b


def cases(shape):
    """(norm, layout, x, channels, function) for every norm and layout that the shape has."""
    c = shape[1]
    x = torch.randn(shape)
    batch = lambda t, w, b: F.batch_norm(t, None, None, w, b, True, 0.1, 1e-5)
    group = lambda t, w, b: F.group_norm(t, 8, w, b, 1e-5)
    instance = lambda t, w, b: F.instance_norm(t, None, None, w, b, True, 0.1, 1e-5)
    layer = lambda t, w, b: F.layer_norm(t, (c,), w, b, 1e-5)
    rms = lambda t, w, b: F.rms_norm(t, (c,), w, 1e-5)
    alpha = torch.full((1,), 0.5, requires_grad=True)
    dynamic_tanh = lambda t, w, b: torch.tanh(alpha * t) * w + b
    whitening = lambda t, w, b: whiten(t.reshape(-1, c), w, b).view(t.shape)
    if len(shape) == 2:
        n = shape[0] // 128
        yield 'batch', 'rows', x, batch
        yield 'layer', 'rows', x, layer
        yield 'rms', 'rows', x, rms
        yield 'dynamic-tanh', 'rows', x, dynamic_tanh
        yield 'whitening', 'rows', x, whitening
        yield 'group', 'rows', x, group
        sequences = x.view(n, 128, c).transpose(1, 2)
        yield 'instance', 'channels last', sequences, instance
        yield 'instance', 'channels first', sequences.contiguous(), instance
    else:
        last = x.to(memory_format=torch.channels_last)
        for name, f in (('batch', batch), ('group', group), ('instance', instance)):
            yield name, 'channels first', x, f
            yield name, 'channels last', last, f
        # These need the channels innermost.
        rows = last.permute(0, 2, 3, 1)
        yield 'layer', 'channels last', rows, layer
        yield 'rms', 'channels last', rows, rms
        yield 'dynamic-tanh', 'channels last', rows, dynamic_tanh
        yield 'whitening', 'channels last', rows, whitening


results = {}
for text in arguments.shapes:
    shape = [int(part) for part in text.split('x')]
    prepared = []
    for name, layout, x, f in cases(shape):
        c = shape[1]
        x = x.detach().requires_grad_()
        w, b = torch.ones(c, requires_grad=True), torch.zeros(c, requires_grad=True)
        dy = torch.randn_like(x)
        prepared.append((name, layout, x, w, b, dy, f, []))
    for r in range(arguments.rounds + 2):
        for name, layout, x, w, b, dy, f, times in prepared:
            x.grad = w.grad = b.grad = None
            dy.mul_(-1)  # as the layer above has just written it
            start = time.perf_counter()
            f(x, w, b).backward(dy)
            if r >= 2:
                times.append(time.perf_counter() - start)
    for name, layout, *_, times in prepared:
        median = statistics.median(times) * 1e3
        key = f'{name} {text}'
        if key not in results or median < results[key]['total_ms']:
            results[key] = dict(norm=name, shape=shape, layout=layout, total_ms=round(median, 3))
print(json.dumps(dict(torch=torch.__version__, results=list(results.values()))))
