#!/usr/bin/env python3
"""Makes the *.safetensors of this folder from PyTorch, diffusers and transformers; see README.md.

    pip install -r requirements.txt
    python make_goldens.py            write all files
    python make_goldens.py --check    compute again and compare with the stored ones
    python make_goldens.py --only vae unet_xl
"""
import argparse
import pathlib

import torch

import clip_text
import schedules
import unet
import vae


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default=pathlib.Path(__file__).parent, help="folder of the files")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    parser.add_argument("--only", nargs="*", help="names of the files to make, without .safetensors")
    args = parser.parse_args()
    torch.use_deterministic_algorithms(True)
    torch.set_default_dtype(torch.float64)  # an oracle without rounding of its own
    for family in (clip_text, unet, vae, schedules):
        for golden in family.make():
            if args.only and golden.config["name"] not in args.only:
                continue
            golden.check(args.out) if args.check else golden.save(args.out)


if __name__ == "__main__":
    main()
