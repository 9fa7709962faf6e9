"""PyTorch's training steps on CPUs, one thread a rank: what Configs/bench/resnet20.yaml and gpt-mini.yaml train.

usage: torch_steps.py resnet [--norm batch|syncbatch|group] [--steps N] [--batch B]
                             [--bf16] [--compile] [--channels-last]
       torch_steps.py gpt    [--norm layer|rms] [--steps N] [--batch B] [--bf16] [--compile]
       python -m torch.distributed.run --nproc-per-node 2 torch_steps.py …  on two ranks, with gloo

--batch is of one rank. After 4 steps to warm up it measures --steps more, all on one batch of random data.
Rank 0 prints one line of JSON: the median of its step times, images or tokens a second over all ranks, the
last loss, and its largest resident set in MiB.
"""
import argparse, json, os, resource, statistics, sys, time
import torch, torch.nn as nn, torch.nn.functional as F, torch.distributed as dist

WARMUP = 4
CLASSES, IMAGE = 10, 32
VOCABULARY, CONTEXT, WIDTH, HEADS, BLOCKS = 65, 128, 256, 8, 6


def add_over_ranks(tensor):
    if dist.is_initialized():
        dist.all_reduce(tensor)
    return tensor


class SynchronizedNorm(torch.autograd.Function):
    """Batch norm over the batches of all ranks, with one all-reduce in each direction.

    Sums are in float32 whatever x is, and both directions end in a multiplication and an addition a
    channel, so that as few passes over the tensors as possible are taken.
    """
    @staticmethod
    def forward(ctx, x, weight, bias, epsilon):
        c = len(weight)
        wide = x.float()
        count = torch.full((1,), x.numel() / c)
        sums = add_over_ranks(torch.cat([wide.sum((0, 2, 3)), wide.square().sum((0, 2, 3)), count]))
        n = sums[2 * c]
        mean = sums[:c] / n
        inverse = torch.rsqrt(sums[c:2 * c] / n - mean.square() + epsilon)
        scale = weight * inverse
        shift = bias - mean * scale
        ctx.save_for_backward(x, weight, mean, inverse, n)
        return torch.addcmul(shift.view(1, c, 1, 1), wide, scale.view(1, c, 1, 1)).to(x.dtype)

    @staticmethod
    def backward(ctx, dy):
        x, weight, mean, inverse, n = ctx.saved_tensors
        c = len(weight)
        wide, dy = x.float(), dy.float()
        # The gradients of bias and weight: this rank's, which DDP averages as it does all others.
        dbias = dy.sum((0, 2, 3))
        dweight = ((dy * wide).sum((0, 2, 3)) - mean * dbias) * inverse
        sums = add_over_ranks(torch.cat([dbias, dweight])) / n
        # dx = weight · inverse · (dy − sums of dbias / n − x̂ · sums of dweight / n), sorted by what it multiplies.
        of_dy = weight * inverse
        of_x = -of_dy * inverse * sums[c:]
        rest = -of_dy * sums[:c] - mean * of_x
        dx = torch.addcmul(rest.view(1, c, 1, 1), wide, of_x.view(1, c, 1, 1))
        dx = torch.addcmul(dx, dy, of_dy.view(1, c, 1, 1))
        return dx.to(x.dtype), dweight, dbias, None


class SynchronizedBatchNorm(nn.Module):
    """PyTorch's own SyncBatchNorm takes no CPU tensors."""
    def __init__(self, channels):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return SynchronizedNorm.apply(x, self.weight, self.bias, 1e-5)


class BasicBlock(nn.Module):
    def __init__(self, inputs, outputs, stride, norm):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = norm(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = norm(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut.append(nn.Conv2d(inputs, outputs, 1, stride, bias=False))
            self.shortcut.append(norm(outputs))

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


def resnet20(norm):
    layers = [nn.Conv2d(3, 16, 3, padding=1, bias=False), norm(16), nn.ReLU()]
    inputs = 16
    for outputs in (16, 32, 64):
        for block in range(3):
            layers.append(BasicBlock(inputs, outputs, 2 if block == 0 and outputs > 16 else 1, norm))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, CLASSES))


class TransformerBlock(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.norm1, self.norm2 = norm(WIDTH), norm(WIDTH)
        self.attention, self.projection = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x):
        n, t, _ = x.shape
        parts = self.attention(self.norm1(x)).split(WIDTH, 2)
        q, k, v = (part.view(n, t, HEADS, WIDTH // HEADS).transpose(1, 2) for part in parts)
        heads = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.projection(heads.transpose(1, 2).reshape(n, t, WIDTH))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate='tanh'))


class GPT(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.Sequential(*(TransformerBlock(norm) for _ in range(BLOCKS)))
        self.norm = norm(WIDTH)
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)

    def forward(self, tokens):
        x = self.tokens(tokens) + self.positions.weight[:tokens.shape[1]]
        return self.head(self.norm(self.blocks(x))).flatten(0, 1)


works = {
    'resnet': {'batch': nn.BatchNorm2d, 'syncbatch': SynchronizedBatchNorm,
               'group': lambda channels: nn.GroupNorm(8, channels)},
    'gpt': {'layer': nn.LayerNorm, 'rms': lambda width: nn.RMSNorm(width, eps=1e-5)},
}
parser = argparse.ArgumentParser()
parser.add_argument('work', choices=list(works))
parser.add_argument('--norm', help='batch (as without it), syncbatch or group; layer (as without it) or rms')
parser.add_argument('--steps', type=int, default=20)
parser.add_argument('--batch', type=int, help='samples a rank: 64 images or 16 sequences')
parser.add_argument('--bf16', action='store_true', help='autocast to bfloat16')
parser.add_argument('--compile', action='store_true')
parser.add_argument('--channels-last', action='store_true')
arguments = parser.parse_args()
norms = works[arguments.work]
kind = arguments.norm or next(iter(norms))
if kind not in norms:
    parser.error(f'{arguments.work} has the norms {", ".join(norms)}, not {kind}')
if arguments.channels_last and arguments.work != 'resnet':
    parser.error('--channels-last is for resnet alone')
if arguments.steps < 1:
    parser.error('--steps has to be 1 or more')

torch.set_num_threads(1)
ranks, rank = int(os.environ.get('WORLD_SIZE', 1)), int(os.environ.get('RANK', 0))
if ranks > 1:
    dist.init_process_group('gloo')
torch.manual_seed(rank)
if arguments.work == 'resnet':
    batch = arguments.batch or 64
    model = resnet20(norms[kind])
    x, y = torch.randn(batch, 3, IMAGE, IMAGE), torch.randint(CLASSES, (batch,))
    if arguments.channels_last:
        model = model.to(memory_format=torch.channels_last)
        x = x.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
else:
    batch = arguments.batch or 16
    model = GPT(norms[kind])
    text = torch.randint(VOCABULARY, (batch, CONTEXT + 1))
    x, y = text[:, :-1].contiguous(), text[:, 1:].flatten()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
network = nn.parallel.DistributedDataParallel(model) if ranks > 1 else model
if arguments.compile:
    network = torch.compile(network)

times = []
for step in range(WARMUP + arguments.steps):
    start = time.perf_counter()
    optimizer.zero_grad()
    with torch.autocast('cpu', torch.bfloat16, enabled=arguments.bf16):
        loss = F.cross_entropy(network(x), y)
    loss.backward()
    optimizer.step()
    if step >= WARMUP:
        times.append(time.perf_counter() - start)
median = statistics.median(times)
if rank == 0:
    print(json.dumps(dict(
        peer='torch', work=arguments.work, norm=kind, ranks=ranks, bf16=arguments.bf16,
        compiled=arguments.compile, channels_last=arguments.channels_last,
        parameters=sum(p.numel() for p in model.parameters()),
        step_ms=dict(median=round(median * 1e3, 3)), per_s=round(ranks * y.numel() / median, 1),
        loss=round(loss.item(), 4),
        peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1))))
if ranks > 1:
    # Not by the interpreter's own end, where gloo's threads may abort.
    dist.barrier()
    sys.stdout.flush()
    os._exit(0)
