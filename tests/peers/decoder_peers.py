#!/usr/bin/env python3
"""Compares whole language models of ours, as decoder_dump recorded them, with transformers and PEFT.

    decoder_peers.py BASE OUT             the folder BASE as transformers loads it
    decoder_peers.py BASE OUT ADAPTER     with the adapter folder as PEFT loads it; PEFT without it must differ
"""
import json
import sys

import torch
from peft import PeftModel
from peft.tuners.lora import LoraLayer
from safetensors.torch import load_file
from transformers import LlamaForCausalLM

LIMIT = 1e-4  # relative error of the logits of a sequence, fp32 on both sides


def relative(got, want):
    return ((got - want).norm() / want.norm()).item()


def main():
    base, out, *adapter = sys.argv[1:]
    model = LlamaForCausalLM.from_pretrained(base).float().eval()
    what = f"transformers, {base}"
    if adapter:
        model = PeftModel.from_pretrained(model, adapter[0]).float().eval()
        modules = sum(isinstance(m, LoraLayer) for m in model.modules())
        what += f" and PEFT, {modules} modules of {adapter[0]}"
    logits = load_file(out + ".safetensors")
    with open(out + ".json", encoding="utf-8") as file:
        answers = json.load(file)
    assert len(answers) >= 20, len(answers)
    worst, change, same = 0.0, 0.0, 0
    with torch.no_grad():
        for n, answer in enumerate(answers):
            ids = torch.tensor([answer["prompt"] + answer["answer"]])
            want = logits[f"logits.{n}"]
            got = model(ids).logits[0]
            worst = max(worst, relative(got, want))
            begin = len(answer["prompt"]) - 1
            same += got[begin:-1].argmax(-1).tolist() == answer["answer"]
            if adapter:
                with model.disable_adapter():
                    change = max(change, relative(model(ids).logits[0], want))
    print(f"{what}: {len(answers)} sequences, relative error of logits at most {worst:.2e}, {same} equal greedy answers")
    assert worst <= LIMIT and same == len(answers)
    assert not adapter or change > 0.05, "the adapter hardly changes anything: the comparison would prove nothing"


main()
