#!/usr/bin/env python3
"""Puts the JSON lines of one comparison (bench/cpu.sh) into a table.

    table.py FOLDER        reads FOLDER/<model>.<who>.<round>.json and FOLDER/facts.txt (commit, versions, command),
                           writes FOLDER/results.json and FOLDER/results.md
"""
import json
import os
import statistics
import sys

PEERS = ("E", "C", "H", "F", "bf16")
# Of the project's first CPU comparison: seconds of E over ours, and our peak memory over E's.
SPEED = {"sd15": 2.5, "llama1b": 1.6, "tiny-sd": 2.0, "medical": 2.0}
MEMORY = 0.6


def load(folder):
    """{model: {who: [result of each round]}}"""
    found = {}
    for name in sorted(os.listdir(folder)):
        parts = name.split(".")
        if len(parts) != 4 or parts[3] != "json":
            continue
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            text = file.read().strip()
        if text:  # empty: that variant failed or ran out of time, and its log says so
            found.setdefault(parts[0], {}).setdefault(parts[1], []).append(json.loads(text.splitlines()[-1]))
    return found


def seconds(rounds):
    """Median over the rounds of the medians of each."""
    return statistics.median(r["seconds"] for r in rounds) if rounds else None


def memory(rounds):
    return max(r.get("peak_bytes", r.get("peak_rss_bytes")) for r in rounds) if rounds else None


def number(value, digits=3):
    if value is None:
        return "-"
    return f"{value:.{digits}f}" if value < 1 else f"{value:.2f}"


def row(model, runs):
    ours = runs.get("ours", [])
    time, size = seconds(ours), memory(ours)
    e = runs.get("E", [])
    faster = seconds(e) / time if ours and e else None
    smaller = size / memory(e) if ours and e else None
    return {"model": model, "ours": time, **{p: seconds(runs.get(p, [])) for p in PEERS}, "speed": faster,
            "speed_target": SPEED.get(model), "ours_bytes": size, "E_bytes": memory(e), "memory": smaller,
            "memory_target": MEMORY, "spread": {w: [min(r["seconds"] for r in v), max(r["seconds"] for r in v)]
                                                for w, v in runs.items()},
            "steps": {w: sum(r.get("steps", 0) for r in v) for w, v in runs.items()},
            "equal": {w: v[0]["equal"] for w, v in runs.items() if "equal" in v[0]}}


def gib(value):
    return "-" if value is None else f"{value / 2**30:.2f}"


def with_target(value, target, better):
    if value is None or target is None:
        return number(value)
    reached = value >= target if better == "higher" else value <= target
    return f"{value:.2f} ({'reaches' if reached else 'misses'} {target})"


def markdown(rows):
    lines = ["| model | ours s | " + " | ".join(f"{p} s" for p in PEERS) +
             " | E / ours | RSS ours GiB | RSS E GiB | ours / E |",
             "|---" * (len(PEERS) + 6) + "|"]
    for r in rows:
        cells = [r["model"], number(r["ours"], 4), *(number(r[p], 4) for p in PEERS),
                 with_target(r["speed"], r["speed_target"], "higher"), gib(r["ours_bytes"]), gib(r["E_bytes"]),
                 with_target(r["memory"], r["memory_target"], "lower")]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| model | who | rounds, fastest and slowest median s | timed steps | loss | down gradients "
              "| up gradients | worst matrix |",
              "|---" * 8 + "|"]
    for r in rows:
        for who, (low, high) in r["spread"].items():
            q = r["equal"].get(who)
            differences = [f"{q[k]:.1e}" for k in
                           ("loss_difference", "down_gradients", "up_gradients", "worst_matrix")] \
                if q else ["-"] * 4
            lines.append(f"| {r['model']} | {who} | {number(low, 4)} - {number(high, 4)} | {r['steps'][who] or '-'} | "
                         + " | ".join(differences) + " |")
    return "\n".join(lines) + "\n"


def facts(folder):
    """What the numbers were measured with: the head of the results."""
    path = os.path.join(folder, "facts.txt")
    assert os.path.exists(path), f"{path} is missing: numbers without commit and versions are of no use"
    with open(path, encoding="utf-8") as file:
        return "".join(f"    {line}" for line in file) + "\n"


def main():
    folder = sys.argv[1]
    rows = [row(model, runs) for model, runs in load(folder).items()]
    assert rows, f"{folder} has no results"
    with open(f"{folder}/results.json", "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
    text = facts(folder) + markdown(rows)
    with open(f"{folder}/results.md", "w", encoding="utf-8") as file:
        file.write(text)
    print(text)


main()
