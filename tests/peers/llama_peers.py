#!/usr/bin/env python3
"""Compares our language models, as decoder_dump recorded them, with llama.cpp on the same GGUF files.

    llama_peers.py exact|near GGUF OUT [ADAPTER.gguf]
        Greedy answers to the prompts of OUT.json, given as ids, and the probabilities of every token in them. "exact":
        all answers equal; "near" is for quantised weights, where llama.cpp rounds activations and we do not.
    llama_peers.py ids DECODER_DUMP GGUF [COUNT]
        Ids of COUNT generated texts in the file's own vocabulary.
"""
import json
import math
import random
import subprocess
import sys
import tempfile
import unicodedata
import urllib.request

import xllamacpp
from safetensors.numpy import load_file

FLOOR = -20.0     # log-probabilities below are noise of the softmax
# Log-probabilities of at most 10 or so, from fp32 weights, and from fp16 ones that llama.cpp multiplies with activations
# rounded to fp16 (2^-11 each).
EXACT_LIMIT = 2e-2
NEAR_SHARE = 0.5  # of answers, at least, that survive 8-bit activations


class Llama:
    """llama.cpp's own server in this process, with fp32 keys and values."""

    def __init__(self, gguf, adapter=None):
        p = xllamacpp.CommonParams()
        p.model.path = gguf
        p.n_ctx, p.n_parallel, p.warmup, p.verbosity = 256, 1, False, 0
        p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1  # tiny models: threads would only wait for each other
        p.cache_prompt, p.cache_ram_mib, p.fit_params = False, 0, False
        p.cache_type_k = p.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        p.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        if adapter:
            p.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(adapter, 1.0)]
        self.server = xllamacpp.Server(p)

    def post(self, path, **body):
        request = urllib.request.Request(self.server.listening_address + path, json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def tokenize(self, text):
        return self.post("/tokenize", content=text, add_special=False, parse_special=False)["tokens"]

    def greedy(self, prompt, count, vocab):
        """Ids, and for each the log-probability of every token."""
        r = self.post("/completion", prompt=prompt, n_predict=count, temperature=0, return_tokens=True, n_probs=vocab)
        rows = [{t["id"]: t["logprob"] for t in p["top_logprobs"]} for p in r["completion_probabilities"]]
        return r["tokens"], rows


def log_softmax(row):
    top = row.max()
    return row - top - math.log(sum(math.exp(v - top) for v in row))


def answers(kind, gguf, out, adapter=None):
    llama = Llama(gguf, adapter)
    with open(out + ".json", encoding="utf-8") as file:
        ours = json.load(file)
    logits = load_file(out + ".safetensors")
    assert len(ours) >= 20, len(ours)
    longest = max(len(o["answer"]) for o in ours)
    same, tokens, worst, differ = 0, 0, 0.0, []
    for n, o in enumerate(ours):
        want, begin = logits[f"logits.{n}"].astype("float64"), len(o["prompt"]) - 1
        stopped = len(o["answer"]) < longest
        got, rows = llama.greedy(o["prompt"], len(o["answer"]) + stopped, want.shape[1])
        expected = o["answer"] + got[len(o["answer"]):]
        equal = got == expected and (not stopped or got[-1] in o["stops"])
        same += equal
        if not equal:
            differ.append((o["answer"], got))
        for i, theirs in enumerate(rows):
            if got[:i] != o["answer"][:i]:
                break
            tokens += 1
            row = log_softmax(want[begin + i])
            assert len(theirs) == len(row), (len(theirs), len(row))
            worst = max(worst, max(abs(theirs[k] - v) for k, v in enumerate(row) if v > FLOOR))
    print(f"llama.cpp, {gguf}{' with ' + adapter if adapter else ''}: {same} of {len(ours)} greedy answers equal; "
          f"log-probabilities differ by at most {worst:.2e} over {tokens} tokens", flush=True)
    for mine, theirs in differ[:3] if kind == "exact" else []:
        print(f"  ours   {mine}\n  theirs {theirs}")
    assert same == len(ours) if kind == "exact" else same >= NEAR_SHARE * len(ours)
    assert kind != "exact" or worst <= EXACT_LIMIT, worst


FIXED = ["\n", "\n\n", "\t", " ", "  ", "       ", "\u00a0", "\u3000", "\u200d", "\u2581", "<s>", "</s>", "<unk>", "<0x0A>", "\u00e9",
         "e\u0301", "\u4f60\u597d", "\uac00", "\U0001f600", "\U0001f469\u200d\U0001f4bb", "12345", "3.14", "a_b-c", "don't", "Q: ", "\nA: "]


def texts(count):
    rng = random.Random(7)
    assigned = [c for c in range(1, 0x30000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    with open("examples/medical-qa/data/train.jsonl", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    out = ["a", " ", "  a", "\n"] + [r["instruction"] for r in rows] + [r["output"] for r in rows]
    words = " ".join(out).split()
    while len(out) < count:
        parts = []
        for _ in range(rng.randrange(1, 12)):
            kind = rng.random()
            parts.append(rng.choice(words) if kind < 0.5 else rng.choice(FIXED) if kind < 0.8 else " " if kind < 0.9 else
                         chr(rng.choice(assigned)))
        out.append("".join(parts))
    return out


def ids(dump, gguf, count="600"):
    batch = texts(int(count))
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(batch, file)
        file.flush()
        ours = json.loads(subprocess.run([dump, "ids", gguf, file.name], check=True, capture_output=True).stdout)
    llama = Llama(gguf)
    theirs = [llama.tokenize(text) for text in batch]
    differ = [n for n in range(len(batch)) if ours[n] != theirs[n]]
    print(f"llama.cpp's ids, {gguf}: {len(batch)} texts, {len(differ)} differ", flush=True)
    for n in differ[:5]:
        print(f"  {batch[n]!r}\n   ours   {ours[n]}\n   theirs {theirs[n]}")
    assert not differ


{"exact": lambda *a: answers("exact", *a), "near": lambda *a: answers("near", *a), "ids": ids}[sys.argv[1]](*sys.argv[2:])
