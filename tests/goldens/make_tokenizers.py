"""Makes tests/goldens/tokenizers: small vocabularies by sentencepiece and tokenizers, and ids that these gave.

    python tests/goldens/make_tokenizers.py          (packages: tests/peers/tokenizers_requirements.txt)

cases.json: {"texts": [...], "vocabularies": {file: {"family": ..., "ids": [one list a text]}}}.
"""
import json
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "peers"))
import tokenizer_peers as peers  # noqa: E402
from tokenizers import normalizers, pre_tokenizers  # noqa: E402

# A few rules of NFKC, and a longer one over the start of another; left: code points, right: what they become.
RULES = [("FF21", "41"), ("FF42", "62"), ("FB01", "66 69"), ("2460", "31"), ("3000", "20"), ("9", "20"), ("A", "20"),
         ("65 301", "E9"), ("AD", ""), ("FDFA", "635 644 649 20 627 644 644 647")]
ASCII = [line for line in peers.corpus() if line.isascii()]


def make(work):
    rules = work / "rules.tsv"
    rules.write_text("".join(f"{a}\t{b}\n" for a, b in RULES))
    plain = dict(normalization_rule_name="identity", remove_extra_whitespaces=False)
    blanks = ["<n>", "<|tab|>"] + [f"<|blank_{n}|>" for n in range(2, 81)]
    small = dict(vocab_size=480, byte_fallback=True)
    every = {
        "bpe.model": peers.spm(work, "bpe", ASCII, model_type="bpe", split_digits=True, **small, **plain),
        "unknown.model": peers.spm(work, "unknown", ASCII, vocab_size=250, model_type="bpe",
                                   user_defined_symbols=["<n>", "\u2581\u2581"], **plain),
        "unigram.model": peers.spm(work, "unigram", ASCII, model_type="unigram", normalization_rule_tsv=str(rules), **small),
        "chatglm.model": peers.chatglm(peers.spm(work, "chatglm", ASCII, model_type="unigram", split_digits=True,
                                                 user_defined_symbols=blanks, **plain, **small)[0])}
    sizes = dict(vocab_size=420)
    every["gpt2.json"] = peers.byte_level(work, "gpt2", ASCII, pre_tokenizers.ByteLevel(add_prefix_space=False), **sizes)
    every["llama3.json"] = peers.byte_level(work, "llama3", ASCII, peers.split(peers.LLAMA3), ignore_merges=True, **sizes)
    every["qwen2.json"] = peers.byte_level(work, "qwen2", ASCII, peers.split(peers.QWEN2), normalizers.NFC(), **sizes)
    every["metaspace.json"] = peers.with_fallback(work, "metaspace", ASCII, first=True, vocab_size=500, limit_alphabet=60)
    every["prepend.json"] = peers.with_fallback(work, "prepend", ASCII, first=False, vocab_size=500, limit_alphabet=60)
    every["tiktoken.model"] = peers.ranks(work, every["llama3.json"][0])
    return every


def main():
    words = sorted({w for line in ASCII for w in line.split()})
    texts = ["", " ", "  "] + peers.FIXED + peers.texts(400, words)[260:300]
    out = {"texts": texts, "vocabularies": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name, (path, family, encode) in make(pathlib.Path(folder)).items():
            out["vocabularies"][name] = {"family": family, "ids": [encode(text) for text in texts]}
            if name.endswith(".json"):
                (HERE / "tokenizers" / name).write_text(json.dumps(json.loads(path.read_text()), separators=(",", ":")) + "\n")
            else:
                shutil.copy(path, HERE / "tokenizers" / name)
    (HERE / "tokenizers" / "cases.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
