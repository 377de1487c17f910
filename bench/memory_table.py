#!/usr/bin/env python3
"""The tables of docs/memory.md: what plans say for cards, and what steps on this CPU took under memory budgets.

    bench/memory_table.py --bin build/cpu-release/bin --results FILE plans steps=sd15-256,llama1b write

`plans` and `steps=NAMES` (all without names) run and add to the JSON file; `write` puts what it holds into
docs/memory.md, between the marks there. A step is run at a full budget, at one that pages half of its tape, and
at half and a quarter of the memory it takes; each number is one process.
"""
import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
GIB = 2**30

STEPS = {
    "sd15-256": ("SD 1.5, 256 px, batch 1", ["--model", "sd15"]),
    "sd15-256-4": ("SD 1.5, 256 px, batch 4", ["--model", "sd15", "--batch", "4"]),
    "sd15-512": ("SD 1.5, 512 px, batch 1", ["--model", "sd15", "--resolution", "512"]),
    "sd15-512-4": ("SD 1.5, 512 px, batch 4", ["--model", "sd15", "--resolution", "512", "--batch", "4"]),
    "sdxl-512": ("SDXL, 512 px, batch 1", ["--model", "sdxl", "--resolution", "512"]),
    "llama1b": ("LLaMA 1.1B fp16, 256 tokens", ["--model", "llama1b", "--rank", "16"]),
    "llama7b": ("LLaMA 7B q4_0, 256 tokens", ["--model", "llama7b", "--base", "q4_0", "--rank", "16"]),
}

STYLE = ["--shape", "sd15", "--set", "lora_rank=8", "batch_size=4", "resolution=512"]
MEDICAL = ["--shape", "llama7b", "--set", "lora_rank=16", "batch_size=2", "max_length=1024", "quantise_base=q4_0"]
PLANS = [
    ("cyberpunk: SD 1.5, 512 px, batch 4, rank 8", "rtx3090", STYLE),
    ("cyberpunk: SD 1.5, 512 px, batch 4, rank 8", "rtx4090", STYLE),
    ("medical: LLaMA 7B q4_0, 2 × 1024 tokens, rank 16", "rtx3090", MEDICAL),
    ("medical: LLaMA 7B q4_0, 2 × 1024 tokens, rank 16", "rtx4090", MEDICAL),
    ("SDXL, 1024 px, batch 4, rank 16", "rtx4090",
     ["--shape", "sdxl", "--set", "lora_rank=16", "batch_size=4", "resolution=1024"]),
    ("LLaMA 7B fp16, 4096 tokens, rank 16", "rtx4090",
     ["--shape", "llama7b", "--set", "lora_rank=16", "batch_size=1", "max_length=4096"]),
    ("LLaMA 13B NF4, 4096 tokens, rank 16", "rtx4090",
     ["--shape", "llama13b", "--set", "lora_rank=16", "batch_size=1", "max_length=4096", "quantise_base=nf4"]),
    ("LLaMA 13B fp16, 4096 tokens, rank 16", "rtx4090",
     ["--shape", "llama13b", "--set", "lora_rank=16", "batch_size=1", "max_length=4096"]),
    ("LLaMA 70B NF4, 4096 tokens, rank 16", "rtx4090",
     ["--shape", "llama70b", "--set", "lora_rank=16", "batch_size=1", "max_length=4096", "quantise_base=nf4"]),
]


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    return done.returncode, done.stdout, done.stderr


def plan(binary, card, args):
    sets = args[args.index("--set") + 1:]
    command = [binary, "plan", *args[:2], "--gpu", card, "--json"]
    for one in sets:
        command += ["--set", one]
    code, out, err = run(command)
    if not out:
        sys.exit(f"{' '.join(command)}: exit {code}\n{err}")
    p = json.loads(out)
    layers = p["policy"]["layers"]
    return {
        "peak": p["peak_bytes"], "minimum": p["minimum_bytes"], "budget": p["budget_bytes"], "fits": p["fits"],
        "seconds": p["seconds"], "floor": p["floor_seconds"], "layers": len(layers),
        "paged": sum("page" in u["action"] for u in layers),
        "recomputed": sum("recompute" in u["action"] for u in layers),
        "streamed": p["policy"]["streamed_layers"],
        "host": p["policy"]["host_page_bytes"] + p["policy"]["host_weight_bytes"],
    }


def step(binary, args, budget, page_only=False):
    command = [binary, "step", *args, "--steps", "1", "--json"]
    command += ["--memory-budget", str(budget)] if budget else []
    command += ["--page-only"] if page_only else []
    code, out, err = run(command)
    return json.loads(out) if code == 0 else {"error": err.strip().splitlines()[0]}


def measure(binary, name, file_dir):
    title, args = STEPS[name]
    if "llama" in name:
        args = [*args, "--file", os.path.join(file_dir, f"rankine-bench-{name}")]
    full = step(binary, args, 0)
    rows = [("full", full)]
    peak, tape = full["planned_tracked_bytes"], full["tape_peak_bytes"]
    rows.append(("half of the tape, paging alone", step(binary, args, peak - tape // 2, page_only=True)))
    for label, share in (("half", 2), ("quarter", 4)):
        rows.append((label, step(binary, args, peak // share)))
    return {"title": title, "rows": rows}


def gib(number):
    return f"{number / GIB:.2f}"


def plan_table(plans):
    lines = ["| run | card | peak GiB | of | least | layers paged / recomputed / streamed, of | host GiB | "
             "predicted s | floor s |",
             "|---|---|---|---|---|---|---|---|---|"]
    for p in plans:
        fits = "" if p["fits"] else " (does not fit)"
        lines.append(f"| {p['run']} | {p['card']} | {gib(p['peak'])}{fits} | {gib(p['budget'])} | "
                     f"{gib(p['minimum'])} | {p['paged']} / {p['recomputed']} / {p['streamed']}, {p['layers']} | "
                     f"{gib(p['host'])} | {p['seconds']:.3f} | {p['floor']:.3f} |")
    return lines


def step_table(steps):
    lines = ["| step | budget | planned GiB | measured | RSS / plan | paged / recomputed / streamed, of | moved GiB | "
             "waited s | s | of full |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for s in steps:
        full = dict(s["rows"])["full"]
        for label, r in s["rows"]:
            if "error" in r:
                lines.append(f"| {s['title']} | {label} | | | | {r['error'].split(': ', 1)[-1]} | | | | |")
                continue
            same = r["tracked_peak_bytes"] / r["planned_tracked_bytes"]
            rss = r["peak_bytes"] / r["planned_bytes"]
            moved = r["moved_bytes"] + 2 * r["streamed_bytes"]
            lines.append(
                f"| {s['title']} | {label} | {r['planned_tracked_bytes'] / GIB:.3f} | {same:.4f} | {rss:.3f} | "
                f"{r['paged_units']} / {r['recomputed_units']} / {r['streamed_units']}, {r['units']} | {gib(moved)} | "
                f"{r['waited_seconds']:.2f} | {r['seconds']:.2f} | {r['seconds'] / full['seconds']:.2f} |")
    return lines


def write(results):
    path = ROOT / "docs" / "memory.md"
    text = path.read_text(encoding="utf-8")
    tables = {"plans": plan_table(results.get("plans", [])), "steps": step_table(results.get("steps", {}).values())}
    for name, lines in tables.items():
        begin, end = f"<!-- {name}: bench/memory_table.py -->\n", f"<!-- end of {name} -->"
        head, rest = text.split(begin, 1)
        tail = rest.split(end, 1)[1]
        text = head + begin + "\n".join(lines) + "\n" + end + tail
    path.write_text(text, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", default="build/cpu-release/bin")
    parser.add_argument("--results", required=True)
    parser.add_argument("--files", default="/tmp", help="folder for weights of language models, kept between runs")
    parser.add_argument("what", nargs="+")
    args = parser.parse_args()
    results_file = pathlib.Path(args.results)
    results = json.loads(results_file.read_text()) if results_file.exists() else {}
    for what in args.what:
        name, _, names = what.partition("=")
        if name == "plans":
            results["plans"] = [{"run": r, "card": c, **plan(f"{args.bin}/rankine", c, a)} for r, c, a in PLANS]
        elif name == "steps":
            for one in names.split(",") if names else STEPS:
                results.setdefault("steps", {})[one] = measure(f"{args.bin}/rankine-bench", one, args.files)
                results_file.write_text(json.dumps(results, indent=1))
        elif name == "write":
            write(results)
        else:
            sys.exit(f"{what}: expected plans, steps, steps=NAMES or write")
        results["date"] = datetime.date.today().isoformat()
        results_file.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
