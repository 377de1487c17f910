#!/usr/bin/env python3
"""The short table of a run of bench/gpu.sh, from the files that its stages left: gpu_table.py OUT"""
import collections
import json
import pathlib
import sys


def lines_of(path):
    return path.read_text().splitlines() if path.exists() else []


def print_kernels(path):
    """Ceilings, and each operation's share of them: least time over measured time, summed over a model's step."""
    if not path.exists():
        return
    doc = json.loads(path.read_text())
    print(f"\n{doc['device']}, activations {doc.get('type', 'fp32')}")
    if "note" in doc:
        print(doc["note"])
    for c in doc["ceilings"]:
        unit, scale = ("TFLOP/s", 1e12) if c["unit"] == "FLOP/s" else ("GB/s", 1e9)
        print(f"  {c['name']:24} {c['value'] / scale:9.1f} {unit}")
    models, sums = [], collections.defaultdict(lambda: [0.0, 0.0])
    absent = [k for k in doc["kernels"] if "skipped" in k]
    for k in doc["kernels"]:
        model = f"{k['model']} b{k['batch']}"
        if model not in models:
            models.append(model)
        if "skipped" in k:
            continue
        total = sums[k["kernel"], model]
        total[0] += k["share"] * k["seconds"] * k["count"]
        total[1] += k["seconds"] * k["count"]
    print("\nshare of the roofline (microseconds of one step)")
    print(f"{'':31}" + "".join(f"{m:>17}" for m in models))
    for kernel in dict.fromkeys(k["kernel"] for k in doc["kernels"]):
        cells = []
        for model in models:
            least, seconds = sums.get((kernel, model), (0, 0))
            cells.append(f"{least / seconds:6.2f} ({seconds * 1e6:8.0f})" if seconds else "")
        print(f"{kernel:31}" + "".join(f"{c:>17}" for c in cells))
    for a in doc.get("adapters", []):
        print(f"adapters of rank {doc['rank']}, {a['model']}: {a['forward']:.3f} of the frozen linears forward, "
              f"{a['both']:.3f} with backward")
    failed = [k for k in absent if k.get("failed")]
    if absent:
        print(f"{len(failed)} cases failed, {len(absent) - len(failed)} were not run" +
              (f"; the first: {failed[0]['kernel']} {failed[0]['shape']}: {failed[0]['skipped'][:200]}"
                if failed else ""))


def print_steps(name, path):
    rows = [json.loads(line) for line in lines_of(path)]
    if rows:
        print(f"\n{name}")
    for row in rows:
        words = row["command"].split()
        what = " ".join(w.rpartition("/")[2] for w in words[1 + next(i for i, w in enumerate(words) if "bench" in w):])
        result, status = row["result"], row["status"]
        if not result:
            print(f"  {status if ' ' in status else f'failed ({status})'}: {what}")
            continue
        equal = result.get("apart") or result.get("equal")
        differences = " ".join(f"{k}={v:.1e}" for k, v in (equal or {}).items() if k != "loss")
        if "apart" in result:
            print(f"  NOT OUR STEP, not timed: {what}  {differences}")
            continue
        if "seconds" not in result:
            print(f"  {'same step':>12}  {what}  {differences}")
            continue
        seconds = result["seconds"]
        rest = " ".join(f"{k}={v:.4g}" for k, v in result.items()
                        if isinstance(v, float) and k not in ("seconds", "flops"))
        print(f"  {seconds * 1e3:9.2f} ms  {what}  {rest[:110]}")


def main():
    out = pathlib.Path(sys.argv[1])
    print_kernels(out / "kernels.json")
    print_steps("steps", out / "steps.jsonl")
    print_steps("PyTorch's steps", out / "peers.jsonl")
    print(f"\n{'stage':13} {'result':22} {'s':>4}  last line of its log")
    for line in lines_of(out / "stages.tsv"):
        name, result, seconds, remark = (line.split("\t") + [""] * 4)[:4]
        print(f"{name:13} {result:22} {seconds:>4}  {remark}")


main()
