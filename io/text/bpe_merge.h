// The loop that every kind of byte-pair encoding shares.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <queue>
#include <vector>

namespace rankine {

// A stretch of the text that is one symbol so far, in a list linked both ways.
struct Symbol {
  std::int32_t begin, length;   // in bytes; length 0: swallowed by its left neighbour
  std::int32_t id;              // -1: no token
  std::int32_t previous, next;  // -1 at the ends
};

// What two neighbours join to; the smallest `order` comes first.
struct Joined {
  double order;
  std::int32_t id;
};

inline void append_symbol(std::vector<Symbol>& symbols, std::int32_t length, std::int32_t id) {
  const auto at = static_cast<std::int32_t>(symbols.size());
  const std::int32_t begin = at == 0 ? 0 : symbols.back().begin + symbols.back().length;
  if (at > 0) symbols.back().next = at;
  symbols.push_back({begin, length, id, at - 1, -1});
}

// Joins neighbours until none is left that find(left, right) -> optional<Joined> joins: smallest order first,
// the leftmost of equals. find depends on its two symbols only. n symbols take n log n steps. What is left is
// reached from symbols[0] by `next`.
//
// An entry of the heap is stale when the lengths no longer add up: a symbol only grows at its right, so a
// left symbol that changed has swallowed the right one whole.
template <class Find>
void merge_symbols(std::vector<Symbol>& symbols, Find&& find) {
  struct Candidate {
    double order;
    std::int32_t at, length, id;
  };
  const auto later = [](const Candidate& a, const Candidate& b) {
    return a.order != b.order ? a.order > b.order : a.at > b.at;
  };
  std::vector<Candidate> heap;
  const auto consider = [&](std::int32_t at) {
    if (at < 0 || symbols[at].next < 0) return false;
    const Symbol &left = symbols[at], &right = symbols[left.next];
    const std::optional<Joined> joined = find(left, right);
    if (joined) heap.push_back({joined->order, at, left.length + right.length, joined->id});
    return joined.has_value();
  };
  for (std::int32_t i = 0; i + 1 < static_cast<std::int32_t>(symbols.size()); ++i) consider(i);
  std::make_heap(heap.begin(), heap.end(), later);
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), later);
    const Candidate best = heap.back();
    heap.pop_back();
    Symbol& left = symbols[best.at];
    if (left.length == 0 || left.next < 0 || left.length + symbols[left.next].length != best.length) continue;
    Symbol& right = symbols[left.next];
    left.length = best.length;
    left.id = best.id;
    left.next = right.next;
    right.length = 0;
    if (left.next >= 0) symbols[left.next].previous = best.at;
    if (consider(left.previous)) std::push_heap(heap.begin(), heap.end(), later);
    if (consider(best.at)) std::push_heap(heap.begin(), heap.end(), later);
  }
}

}  // namespace rankine
