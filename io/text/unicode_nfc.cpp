// UAX #15, with the arithmetic for Hangul of The Unicode Standard, 3.12.
#include <algorithm>
#include <unordered_map>

#include "io/text/unicode.h"

namespace rankine {
namespace {

using unicode_tables::ClassRange;
using unicode_tables::Decomposition;

constexpr char32_t kHangulS = 0xAC00, kHangulL = 0x1100, kHangulV = 0x1161, kHangulT = 0x11A7;
constexpr char32_t kCountL = 19, kCountV = 21, kCountT = 28, kCountS = kCountL * kCountV * kCountT;
constexpr char32_t kFirstInteresting = 0x300;  // text below is in form C as it is

template <class Entry>
const Entry* find(std::span<const Entry> table, char32_t c) {
  const auto at =
      std::lower_bound(table.begin(), table.end(), c, [](const Entry& e, char32_t x) { return e.c < x; });
  return at != table.end() && at->c == c ? &*at : nullptr;
}

std::uint8_t combining_class(char32_t c) {
  if (c < kFirstInteresting) return 0;
  const auto table = unicode_tables::combining_classes;
  const auto at = std::lower_bound(table.begin(), table.end(), c,
                                   [](const ClassRange& r, char32_t x) { return r.last < x; });
  return at != table.end() && at->first <= c ? at->combining_class : 0;
}

void decompose(char32_t c, std::u32string& out) {
  if (c >= kHangulS && c < kHangulS + kCountS) {
    const char32_t s = c - kHangulS;
    out.push_back(kHangulL + s / (kCountV * kCountT));
    out.push_back(kHangulV + s % (kCountV * kCountT) / kCountT);
    if (s % kCountT != 0) out.push_back(kHangulT + s % kCountT);
    return;
  }
  std::u32string tail;  // second parts, last first: only a first part decomposes further
  for (;;) {
    if (const auto* same = find(unicode_tables::respellings, c)) {
      c = same->same;
    } else if (const auto* parts = find(unicode_tables::decompositions, c)) {
      tail += parts->second;
      c = parts->first;
    } else {
      break;
    }
  }
  out += c;
  out.append(tail.rbegin(), tail.rend());
}

// Marks behind a starter in the order of their classes, otherwise as they came.
void order_marks(std::u32string& text) {
  for (std::size_t i = 0; i < text.size();) {
    if (combining_class(text[i]) == 0) {
      ++i;
      continue;
    }
    std::size_t end = i;
    while (end < text.size() && combining_class(text[end]) != 0) ++end;
    std::stable_sort(text.begin() + static_cast<std::ptrdiff_t>(i),
                     text.begin() + static_cast<std::ptrdiff_t>(end),
                     [](char32_t a, char32_t b) { return combining_class(a) < combining_class(b); });
    i = end;
  }
}

// What two code points compose to; 0: nothing.
char32_t compose_pair(char32_t first, char32_t second) {
  if (first >= kHangulL && first < kHangulL + kCountL && second >= kHangulV && second < kHangulV + kCountV)
    return kHangulS + ((first - kHangulL) * kCountV + (second - kHangulV)) * kCountT;
  const bool syllable_lv =
      first >= kHangulS && first < kHangulS + kCountS && (first - kHangulS) % kCountT == 0;
  if (syllable_lv && second > kHangulT && second < kHangulT + kCountT) return first + (second - kHangulT);
  static const auto pairs = [] {
    std::unordered_map<std::uint64_t, char32_t> map;
    const auto excluded = unicode_tables::not_composed;
    for (const Decomposition& d : unicode_tables::decompositions)
      if (!std::binary_search(excluded.begin(), excluded.end(), d.c))
        map.emplace(std::uint64_t{d.first} << 32 | d.second, d.c);
    return map;
  }();
  const auto at = pairs.find(std::uint64_t{first} << 32 | second);
  return at == pairs.end() ? 0 : at->second;
}

void compose(std::u32string& text) {
  std::size_t size = 0, starter = 0;
  bool has_starter = false;
  int last_class = 0;  // of what stands between the starter and here
  for (const char32_t c : text) {
    const int kind = combining_class(c);
    const bool blocked = has_starter && size > starter + 1 && (last_class == 0 || last_class >= kind);
    if (has_starter && !blocked) {
      if (const char32_t joined = compose_pair(text[starter], c)) {
        text[starter] = joined;
        continue;
      }
    }
    if (kind == 0) {
      starter = size;
      has_starter = true;
    }
    last_class = kind;
    text[size++] = c;
  }
  text.resize(size);
}

}  // namespace

std::u32string to_nfc(std::u32string_view text) {
  if (std::all_of(text.begin(), text.end(), [](char32_t c) { return c < kFirstInteresting; }))
    return std::u32string(text);
  std::u32string out;
  out.reserve(text.size());
  for (const char32_t c : text) {
    if (c < 0xC0) {
      out += c;
    } else {
      decompose(c, out);
    }
  }
  order_marks(out);
  compose(out);
  return out;
}

}  // namespace rankine
