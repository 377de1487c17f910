#!/usr/bin/env python3
"""Writes io/text/unicode_tables.cpp and io/text/nfc_tables.cpp from Python's unicodedata and html.entities.

    python3 scripts/make_unicode_tables.py > io/text/unicode_tables.cpp
    python3 scripts/make_unicode_tables.py nfc > io/text/nfc_tables.cpp
"""
import html
import html.entities
import sys
import unicodedata

LIMIT = 0x110000
WIDTH = 108


def ranges(wanted):
    """Maximal runs of code points for which wanted(character) holds."""
    runs, start = [], None
    for code in range(LIMIT + 1):
        inside = code < LIMIT and wanted(chr(code))
        if inside and start is None:
            start = code
        if not inside and start is not None:
            runs.append((start, code - 1))
            start = None
    return runs


def lower_case_ranges():
    """(first, last, stride, delta) with stride 1 or 2, for mappings of one code point to one."""
    moves = [(code, ord(low) - code) for code in range(LIMIT) for low in [chr(code).lower()]
             if len(low) == 1 and ord(low) != code]
    runs = []
    for code, delta in moves:
        if runs:
            first, last, stride, run_delta = runs[-1]
            step = code - last
            if delta == run_delta and step in (1, 2) and stride in (0, step):
                runs[-1] = (first, code, step, delta)
                continue
        runs.append((code, code, 0, delta))
    return [(first, last, stride or 1, delta) for first, last, stride, delta in runs]


def entities():
    """Names of HTML 4 and apos; HTML 5 tells which of them need no semicolon, and adds AMP and its like."""
    names = set(html.entities.name2codepoint) | {"apos"}
    names |= {n for n in html.entities.html5 if not n.endswith(";")}
    for name in sorted(names):
        yield name, ord(html.entities.html5[name + ";"]), name in html.entities.html5


def c1_as_windows_1252():
    for code in range(0x80, 0xA0):
        meant = ord(html.unescape(f"&#{code};"))
        yield 0 if meant == code else meant


def decompositions():
    """(code, first, second or 0) of one canonical step."""
    for c in map(chr, range(LIMIT)):
        parts = unicodedata.decomposition(c)
        if parts and not parts.startswith("<"):
            first, second = (parts.split() + ["0"])[:2]
            yield ord(c), int(first, 16), int(second, 16)


def combining_classes():
    """(first, last, class) of runs with one class other than 0."""
    runs = []
    for c in range(LIMIT):
        kind = unicodedata.combining(chr(c))
        if kind and runs and runs[-1][1] == c - 1 and runs[-1][2] == kind:
            runs[-1][1] = c
        elif kind:
            runs.append([c, c, kind])
    return (f"{{{code(a)}, {code(b)}, {kind}}}" for a, b, kind in runs)


def emit(declaration, items):
    print(f"{declaration} = {{")
    line = "   "
    for item in items:
        if len(line) + 2 + len(item) > WIDTH:
            print(line)
            line = "   "
        line += f" {item},"
    print(line)
    print("};\n")


def code(value):
    return f"0x{value:X}"


def pairs(runs):
    return (f"{{{code(a)}, {code(b)}}}" for a, b in runs)


def begin():
    print("// Made by scripts/make_unicode_tables.py; do not edit.")
    print(f"// Unicode {unicodedata.unidata_version}.")
    print("// clang-format off")
    print('#include "io/text/unicode.h"\n')
    print("namespace rankine::unicode_tables {")
    print("namespace {\n")


def end():
    print("\n}  // namespace rankine::unicode_tables")
    print("// clang-format on")


def nfc():
    begin()
    steps = list(decompositions())
    emit("constexpr Respelling kRespellings[]", pairs((c, a) for c, a, b in steps if not b))
    emit("constexpr Decomposition kDecompositions[]",
         (f"{{{code(c)}, {code(a)}, {code(b)}}}" for c, a, b in steps if b))
    emit("constexpr char32_t kNotComposed[]",
         (code(c) for c, _, b in steps if b and unicodedata.normalize("NFC", chr(c)) != chr(c)))
    emit("constexpr ClassRange kCombiningClasses[]", combining_classes())
    print("}  // namespace\n")
    print("const std::span<const Respelling> respellings = kRespellings;")
    print("const std::span<const Decomposition> decompositions = kDecompositions;")
    print("const std::span<const char32_t> not_composed = kNotComposed;")
    print("const std::span<const ClassRange> combining_classes = kCombiningClasses;")
    end()


def main():
    if sys.argv[1:] == ["nfc"]:
        return nfc()
    begin()
    emit("constexpr Range kLetters[]", pairs(ranges(lambda c: unicodedata.category(c)[0] == "L")))
    emit("constexpr Range kNumbers[]", pairs(ranges(lambda c: unicodedata.category(c)[0] == "N")))
    emit("constexpr Range kCased[]", pairs(ranges(lambda c: c.isupper() or c.islower() or c.istitle())))
    emit("constexpr CaseRange kLowerCase[]",
         (f"{{{code(a)}, {code(b)}, {stride}, {delta}}}" for a, b, stride, delta in lower_case_ranges()))
    emit("constexpr Entity kEntities[]",
         (f'{{"{name}", {code(c)}, {"true" if bare else "false"}}}' for name, c, bare in entities()))
    emit("constexpr char32_t kC1[]", (code(c) for c in c1_as_windows_1252()))
    print("}  // namespace\n")
    print("const std::span<const Range> letters = kLetters;")
    print("const std::span<const Range> numbers = kNumbers;")
    print("const std::span<const Range> cased = kCased;")
    print("const std::span<const CaseRange> lower_case = kLowerCase;")
    print("const std::span<const Entity> entities = kEntities;")
    print("const std::span<const char32_t> c1_as_windows_1252 = kC1;")
    end()


if __name__ == "__main__":
    sys.exit(main())
