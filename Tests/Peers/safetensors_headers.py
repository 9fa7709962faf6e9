#!/usr/bin/env python3
"""Compares which safetensors files Lockstep refuses with the format's own reader.

Makes files by hand and at random from a seed, most of them wrong in one way or several, and asks both.
Fails if Lockstep accepts one that the peer refuses, or refuses one that the peer accepts for a reason
that is not in REASONS.

    pip install safetensors numpy
    swift build -c release --product safetensors-verdicts
    Tests/Peers/safetensors_headers.py [--count 20000] [--seed 1]
"""

import argparse
import collections
import json
import os
import random
import struct
import subprocess
import sys
import tempfile

import safetensors

# Why Lockstep refuses what the peer accepts.
REASONS = {
    "is not a tensor name": "names with control characters, and paths out of a folder",
    "expected one of F32, I64, U8": "types that Lockstep does not read",
    "appears twice": "equal keys, of which the peer takes the last",
    "has a field": "fields that the format does not have, which the peer passes over",
    "expected no more than 64 numbers": "more axes than PyTorch has",
    "whose product overflows": "extents beside an extent of 0 that no machine can address",
    "expected a whole number from 0 to": "an extent from 2^63 on beside an extent of 0",
    "does not begin with": "space before the header, which the format forbids",
    'expected "{"': "an entry as a list, or null for metadata, which the peer's decoder takes",
}

SIZES = {"F32": 4, "I64": 8, "U8": 1, "F64": 8, "F16": 2, "BF16": 2, "I32": 4, "BOOL": 1}


def file(header, body=b"", length=None):
    """A file's bytes; `header` is text or bytes."""
    if isinstance(header, str):
        header = header.encode()
    return struct.pack("<Q", len(header) if length is None else length) + header + body


def one(dtype='"F32"', shape="[1]", offsets="[0,4]", name='"a"', more=""):
    return f'{{{name}:{{"dtype":{dtype},"shape":{shape},"data_offsets":{offsets}{more}}}}}'


def two(first, second):
    entry = '"{}":{{"dtype":"U8","shape":[{}],"data_offsets":[{},{}]}}'
    return "{" + ",".join(
        entry.format(name, end - start, start, end) for name, (start, end) in
        (("a", first), ("b", second))) + "}"


def by_hand():
    """Files by what is wrong with them; those whose name begins with "good" are not."""
    body = bytes(4)
    deep = "[" * 100_000
    return {
        "good": file(one(), body),
        "good: no tensor": file("{}"),
        "good: metadata alone": file('{"__metadata__":{"format":"pt"}}'),
        "good: padded with spaces": file(one() + "   ", body),
        "good: an empty tensor": file(one(shape="[0,3]", offsets="[0,0]")),
        "good: escapes": file(one(name='"\\u00e9\\"\\ud83d\\ude00"'), body),
        "empty": b"",
        "seven bytes": bytes(7),
        "eight zeros": bytes(8),
        "a length of 2^63": file(one(), body, length=1 << 63),
        "a length of 2^64 - 1": file(one(), body, length=(1 << 64) - 1),
        "a length beyond the file": file(one(), b"", length=len(one()) + 1),
        "a header over the limit": file("{}" + " " * 100_000_000),
        "overlapping": file(two((0, 3), (2, 4)), body),
        "the same bytes twice": file(two((0, 4), (0, 4)), body),
        "end before begin": file(one(shape="[0]", offsets="[4,0]"), body),
        "a hole": file(two((0, 1), (2, 4)), body),
        "a hole at the start": file(one(shape="[0]", offsets="[4,4]"), body),
        "trailing bytes": file(one(), body + b"x"),
        "too few bytes": file(one(), body[:3]),
        "offsets past the file": file(one(shape="[2]", offsets="[0,8]"), body),
        "a shape that overflows": file(one(shape=f"[{1 << 62},{1 << 62}]"), body),
        "a shape whose bytes overflow": file(one(shape=f"[{1 << 62}]"), body),
        "a shape that wraps to 4 bytes": file(one(shape=f"[{(1 << 62) + 1}]"), body),
        "an extent of 2^64": file(one(shape=f"[{1 << 64}]"), body),
        "an overflow before a 0": file(
            one(shape=f"[{1 << 62},{1 << 62},0]", offsets="[0,0]")),
        "an overflow after a 0": file(
            one(shape=f"[0,{1 << 62},{1 << 62}]", offsets="[0,0]")),
        "another size than the shape's": file(one(shape="[2]"), body),
        "deep lists": file(deep, b""),
        "deep lists in an object": file('{"a":' + deep, b""),
        "deep objects": file('{"a":' * 100_000, b""),
        "deep lists as a shape": file(one(shape=deep), body),
        "an unknown field that is deep": file(one(more=',"x":' + deep + "]" * 100_000), body),
        "an unknown field": file(one(more=',"x":1'), body),
        "a name twice": file(one()[:-1] + "," + one()[1:], body),
        "metadata twice": file('{"__metadata__":{"a":"b"},"__metadata__":{"a":"b"}}'),
        "a metadata key twice": file('{"__metadata__":{"a":"b","a":"c"}}'),
        "a dtype twice": file(one(more=',"dtype":"F32"'), body),
        "a shape twice": file(one(more=',"shape":[1]'), body),
        "offsets twice": file(one(more=',"data_offsets":[0,4]'), body),
        "a path up": file(one(name='"../../x"'), body),
        "a path up within": file(one(name='"a/../../x"'), body),
        "a path from the root": file(one(name='"/etc/passwd"'), body),
        "a path up with backslashes": file(one(name='"..\\\\x"'), body),
        "a NUL in a name": file(one(name='"a\\u0000"'), body),
        "an escape character in a name": file(one(name='"\\u001b[2J"'), body),
        "a raw control character": file(one(name='"a\x01"'), body),
        "floats as offsets": file(one(offsets="[0.0,4.0]"), body),
        "an exponent": file(one(shape="[1e0]"), body),
        "a negative offset": file(one(offsets="[-4,0]"), body),
        "a negative zero": file(one(offsets="[-0,4]"), body),
        "a negative extent": file(one(shape="[-1]"), body),
        "a leading zero": file(one(shape="[01]"), body),
        "a bool as extent": file(one(shape="[true]"), body),
        "a text as extent": file(one(shape='["1"]'), body),
        "null as a shape": file(one(shape="null"), body),
        "three offsets": file(one(offsets="[0,4,4]"), body),
        "one offset": file(one(offsets="[0]"), body),
        "an entry as a list": file('{"a":["F32",[1],[0,4]]}', body),
        "no dtype": file('{"a":{"shape":[1],"data_offsets":[0,4]}}', body),
        "no shape": file('{"a":{"dtype":"F32","data_offsets":[0,4]}}', body),
        "no offsets": file('{"a":{"dtype":"F32","shape":[1]}}', body),
        "an unknown type": file(one(dtype='"F31"'), body),
        "a type in small letters": file(one(dtype='"f32"'), body),
        "a number as type": file(one(dtype="32"), body),
        "a type not read": file(one(dtype='"BF16"', shape="[2]"), body),
        "a sub-byte type": file(one(dtype='"F4"', shape="[8]"), body),
        "a misaligned sub-byte type": file(one(dtype='"F4"', shape="[7]"), body),
        "100 axes": file(one(shape="[" + ",".join(["1"] * 100) + "]"), body),
        "metadata of numbers": file('{"__metadata__":{"a":1}}'),
        "metadata of null": file('{"__metadata__":{"a":null}}'),
        "metadata of an object": file('{"__metadata__":{"a":{}}}'),
        "metadata as a list": file('{"__metadata__":[]}'),
        "a list as header": file("[]"),
        "a number as header": file("1"),
        "a header that is space": file("    "),
        "a header that begins with a space": file(" " + one(), body),
        "a header that begins with a line": file("\n" + one(), body),
        "a byte order mark": file("\ufeff" + one(), body),
        "no UTF-8": file(one(name='"\udcff"').encode("utf-8", "surrogateescape"), body),
        "overlong UTF-8": file(one().replace("a", "\udcc0\udc80").encode(
            "utf-8", "surrogateescape"), body),
        "a surrogate alone": file(one(name='"\\ud800"'), body),
        "a wrong escape": file(one(name='"\\x41"'), body),
        "an escape cut short": file(one(name='"\\u00"'), body),
        "UTF-16": file(one().encode("utf-16-le"), body),
        "a trailing comma": file(one()[:-1] + ",}", body),
        "no end": file(one()[:-1], body),
        "two objects": file(one() + "{}", body),
        "NULs after the header": file(one() + "\0\0", body),
        "a comment": file(one() + "//", body),
        "single quotes": file(one().replace('"', "'"), body),
    }


ODD = ["0", "1", "2", "-1", "-0", "1.0", "1e2", "true", "null", '"4"', "[4]", "{}", "01",
       str(1 << 31), str(1 << 32), str((1 << 63) - 1), str(1 << 63), str((1 << 64) - 1),
       str(1 << 64), "9" * 40, "NaN"]
NAMES = ["w", "layer.0.weight", "é", "e\u0301", "", " ", "../x", "a/../b", "/a", "a/b", "..", "a..b",
         "\u0085", "\x7f", "\t", "\0", "__metadata__", "\\", "\"", "\U0001f600"]


def valid(r):
    """A header as lists of pairs, and the bytes that belong to it."""
    entries, start = [], 0
    for index in range(r.randrange(4)):
        dtype = r.choice(["F32", "I64", "U8"] if r.random() < 0.9 else list(SIZES))
        shape = [r.choice([0, 1, 2, 3]) for _ in range(r.randrange(4))]
        size = SIZES[dtype]
        for extent in shape:
            size *= extent
        name = r.choice(NAMES) if r.random() < 0.1 else f"t{index}"
        entries.append([json.dumps(name, ensure_ascii=r.random() < 0.5), [
            ["\"dtype\"", f'"{dtype}"'], ["\"shape\"", [str(e) for e in shape]],
            ["\"data_offsets\"", [str(start), str(start + size)]]]])
        start += size
    if r.random() < 0.5:
        entries.append(['"__metadata__"', [['"format"', '"pt"']]])
    r.shuffle(entries)
    return entries, start


def render(value, r):
    if isinstance(value, str):
        return value
    space = r.choice(["", "", "", " ", "\n", "\t"])
    if value and all(isinstance(e, list) and len(e) == 2 and isinstance(e[0], str)
                     and e[0].startswith('"') for e in value):
        return "{" + ("," + space).join(
            f"{key}{space}:{render(item, r)}" for key, item in value) + "}"
    return "[" + ("," + space).join(render(e, r) for e in value) + "]"


def mutated(r):
    """A file with up to three faults."""
    entries, size = valid(r)
    faults = r.randrange(4)
    for _ in range(faults):
        fault = r.randrange(9)
        if fault == 0 and entries:
            entries.append(list(r.choice(entries)))
        elif fault <= 5 and entries:
            fields = r.choice(entries)[1]
            if not isinstance(fields, list) or not fields:
                continue
            field = r.choice(fields)
            if fault == 1:
                fields.append(list(field))
            elif fault == 2:
                fields.remove(field)
            elif fault == 3:
                field[1] = r.choice(ODD)
            elif isinstance(field[1], list) and field[1]:
                place = r.randrange(len(field[1]))
                number = field[1][place]
                field[1][place] = r.choice(ODD) if r.random() < 0.5 or not number.isdigit() \
                    else str(int(number) + r.choice([-8, -4, -1, 1, 4, 8]))
            elif fault == 5:
                fields.append([json.dumps(r.choice(NAMES)), r.choice(ODD)])
        elif fault == 6:
            size += r.choice([-1, 1, 4, -4])
        elif fault == 7:
            entries.append([json.dumps(r.choice(NAMES)), r.choice(ODD)])
    header = render(entries, r) if entries else "{}"
    data = bytearray(header.encode())
    if r.random() < 0.3 and data:
        for _ in range(r.randrange(1, 4)):
            place = r.randrange(len(data))
            change = r.randrange(4)
            if change == 0:
                data[place] = r.randrange(256)
            elif change == 1:
                data[place] ^= 1 << r.randrange(8)
            elif change == 2:
                del data[place]
            else:
                data.insert(place, r.choice(b' \n"\\{}[],:0\x00\xff'))
            if not data:
                break
    if r.random() < 0.2:
        data += r.choice([b" ", b"\n", b"\0", b"\t  "]) * r.randrange(1, 9)
    length = len(data)
    if r.random() < 0.03:
        length = r.choice([0, 1, length - 1 if length else 0, length + 1, 1 << 63, (1 << 64) - 8])
    return file(bytes(data), bytes(max(0, size)), length)


def peer_accepts(data):
    try:
        safetensors.deserialize(data)
        return True
    except BaseException as error:  # A panic of the peer's is no Exception.
        if isinstance(error, KeyboardInterrupt):
            raise
        return False


def verdicts(program, files):
    """What Lockstep says of each file, in a folder in memory where there is one."""
    place = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=place) as folder:
        paths = []
        for number, data in enumerate(files):
            paths.append(os.path.join(folder, str(number)))
            with open(paths[-1], "wb") as out:
                out.write(data)
        result = subprocess.run(
            [program], input="\n".join(paths) + "\n", capture_output=True, text=True, check=True)
    # Not splitlines, which ends lines at other characters too.
    lines = result.stdout.removesuffix("\n").split("\n")
    assert len(lines) == len(files), "the program stopped early"
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
    parser.add_argument("--program", default=os.path.join(
        root, ".build/release/safetensors-verdicts"), help="Lockstep's side")
    parser.add_argument("--count", type=int, default=20_000, help="files made at random")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    r = random.Random(arguments.seed)
    named = by_hand()
    files = list(named.values()) + [mutated(r) for _ in range(arguments.count)]
    names = list(named) + [f"random {i}" for i in range(arguments.count)]
    counts, reasons, wrong = collections.Counter(), collections.Counter(), []
    for name, data, line in zip(names, files, verdicts(arguments.program, files)):
        ours, peers = line == "accept", peer_accepts(data)
        counts[peers, ours] += 1
        if name.startswith("good") and not (ours and peers):
            wrong.append((name, line, data))
        if ours and not peers:
            wrong.append((name, "accepted, and the peer refuses it", data))
        if peers and not ours:
            known = [text for text in REASONS if text in line]
            reasons[REASONS[known[0]] if known else line] += 1
            if not known:
                wrong.append((name, line, data))
    print(f"safetensors {safetensors.__version__}, seed {arguments.seed}: {len(named)} files by hand, "
          f"{arguments.count} at random")
    for (peers, ours), text in {
            (False, False): "both refuse", (False, True): "the peer refuses, Lockstep accepts",
            (True, True): "both accept", (True, False): "the peer accepts, Lockstep refuses"}.items():
        print(f"{counts[peers, ours]:8}  {text}")
    for reason, count in reasons.most_common():
        print(f"{count:14}  {reason}")
    for name, line, data in wrong[:20]:
        print(f"WRONG {name}: {line}: {bytes(data[:300])!r}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
