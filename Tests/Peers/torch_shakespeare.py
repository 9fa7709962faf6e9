"""PyTorch on what Configs/shakespeare.yaml trains: the same model, optimizer, schedule and steps.

usage: torch_shakespeare.py [FILE]
Prints the loss on the validation part: the last tenth of the text, in windows of one context.
"""
import math, sys
import torch, torch.nn as nn, torch.nn.functional as F

path = sys.argv[1] if len(sys.argv) > 1 else '../shared/data/shakespeare/input.txt'
T, D, H, L, B, STEPS, WARMUP, RATE = 64, 128, 4, 4, 32, 1000, 100, 1e-3
torch.set_num_threads(2)
torch.manual_seed(1)
text = open(path, encoding='utf-8').read()
codes = {c: i for i, c in enumerate(sorted(set(text)))}
tokens = torch.tensor([codes[c] for c in text])
cut = int(len(tokens) * 0.9)
V = len(codes)


def windows(part):
    n = (len(part) - 1) // T
    return part[:n * T].view(n, T), part[1:n * T + 1].view(n, T)


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(D), nn.LayerNorm(D)
        self.c_attn, self.c_proj = nn.Linear(D, 3 * D), nn.Linear(D, D)
        self.c_fc, self.c_out = nn.Linear(D, 4 * D), nn.Linear(4 * D, D)

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = (a.view(n, t, H, D // H).transpose(1, 2) for a in self.c_attn(self.ln_1(x)).split(D, 2))
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.c_proj(a.transpose(1, 2).reshape(n, t, D))
        return x + self.c_out(F.gelu(self.c_fc(self.ln_2(x)), approximate='tanh'))


class GPT(nn.Module):
    def __init__(self):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(V, D), nn.Embedding(T, D)
        self.h, self.ln_f = nn.ModuleList(Block() for _ in range(L)), nn.LayerNorm(D)
        for name, p in self.named_parameters():
            if p.dim() > 1:
                scaled = name.endswith(('c_proj.weight', 'c_out.weight'))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * L) if scaled else 0.02)
            elif name.endswith('bias'):
                nn.init.zeros_(p)

    def forward(self, i):
        x = self.wte(i) + self.wpe.weight[:i.shape[1]]
        for block in self.h:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.T


model = GPT()
optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=0.1)
x, y = windows(tokens[:cut])
order = []
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
    optimizer.zero_grad()
    loss = F.cross_entropy(model(x[batch]).view(-1, V), y[batch].view(-1))
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1)
    optimizer.step()
model.eval()
with torch.no_grad():
    x, y = windows(tokens[cut:])
    total = sum(F.cross_entropy(model(x[i:i + 128]).view(-1, V), y[i:i + 128].view(-1), reduction='sum').item()
                for i in range(0, len(x), 128))
print(f'validation loss {total / y.numel():.4f}')
