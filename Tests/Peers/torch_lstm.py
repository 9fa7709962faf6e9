"""PyTorch on what Configs/shakespeare-lstm.yaml trains: the same model, optimizer, schedule and steps.

usage: torch_lstm.py [FILE] [--norm layer|none] [--steps N]
Prints the loss on the validation part, the last tenth of the text in windows of one context, and the median time of a
step. With layer norm the cell is written out, since torch.nn.LSTM has no norm; without, it is torch.nn.LSTM.
"""
import argparse, math, statistics, time
import torch, torch.nn as nn, torch.nn.functional as F

arguments = argparse.ArgumentParser()
arguments.add_argument('file', nargs='?', default='../shared/data/shakespeare/input.txt')
arguments.add_argument('--norm', choices=['layer', 'none'], default='layer')
arguments.add_argument('--steps', type=int, default=1000)
arguments.add_argument('--threads', type=int, default=1)
options = arguments.parse_args()
T, D, L, B, STEPS, WARMUP, RATE = 64, 128, 2, 32, options.steps, min(100, options.steps // 2), 2e-3
torch.set_num_threads(options.threads)
torch.manual_seed(1)
text = open(options.file, encoding='utf-8').read()
codes = {c: i for i, c in enumerate(sorted(set(text)))}
tokens = torch.tensor([codes[c] for c in text])
cut = int(len(tokens) * 0.9)
V = len(codes)


def windows(part):
    n = (len(part) - 1) // T
    return part[:n * T].view(n, T), part[1:n * T + 1].view(n, T)


class NormalizedLSTM(nn.Module):
    """Ba et al., 2016, eq. 20 to 22."""

    def __init__(self):
        super().__init__()
        bound = 1 / math.sqrt(D)
        self.weight_ih, self.weight_hh, self.bias = (
            nn.Parameter(torch.empty(shape).uniform_(-bound, bound)) for shape in ((4 * D, D), (4 * D, D), (4 * D,)))
        self.norm_ih, self.norm_hh, self.norm_c = nn.LayerNorm(4 * D), nn.LayerNorm(4 * D), nn.LayerNorm(D)

    def forward(self, x):
        h = c = x.new_zeros(x.shape[0], D)
        outputs = []
        for a in (self.norm_ih(x @ self.weight_ih.T) + self.bias).unbind(1):
            i, f, g, o = (a + self.norm_hh(h @ self.weight_hh.T)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(self.norm_c(c))
            outputs.append(h)
        return torch.stack(outputs, 1)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(V, D)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        if options.norm == 'layer':
            self.lstm = nn.Sequential(*(NormalizedLSTM() for _ in range(L)))
        else:
            self.lstm = nn.LSTM(D, D, L, batch_first=True)

    def forward(self, i):
        x = self.lstm(self.embedding(i))
        return (x if options.norm == 'layer' else x[0]) @ self.embedding.weight.T


model = Model()
optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1)
x, y = windows(tokens[:cut])
order, times = [], []
for step in range(STEPS):
    if len(order) < B:
        order = torch.randperm(len(x)).tolist()
    batch, order = order[:B], order[B:]
    if step < WARMUP:
        rate = RATE * (step + 1) / WARMUP
    else:
        progress = (step - WARMUP) / (STEPS - WARMUP)
        rate = RATE * (0.1 + 0.9 * (1 + math.cos(math.pi * progress)) / 2)
    for group in optimizer.param_groups:
        group['lr'] = rate
    start = time.perf_counter()
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x[batch]).view(-1, V), y[batch].view(-1))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1)
    optimizer.step()
    times.append(time.perf_counter() - start)
model.eval()
with torch.no_grad():
    x, y = windows(tokens[cut:])
    total = sum(F.cross_entropy(model(x[i:i + 128]).view(-1, V), y[i:i + 128].view(-1), reduction='sum').item()
                for i in range(0, len(x), 128))
print(f'validation loss {total / y.numel():.4f}, {1000 * statistics.median(times):.1f} ms a step')
