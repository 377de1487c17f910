#include "io/text/byte_trie.h"

#include <algorithm>

namespace rankine {

// Breadth first over the sorted words: a node is a range of words that share their first `depth` bytes.
ByteTrie::ByteTrie(std::vector<Entry> entries) {
  std::erase_if(entries, [](const Entry& e) { return e.first.empty(); });
  std::stable_sort(entries.begin(), entries.end(),
                   [](const Entry& a, const Entry& b) { return a.first < b.first; });
  struct Range {
    std::size_t begin, end, depth;
  };
  std::vector<Range> ranges;
  const auto add_children = [&](Range range, auto&& place) {
    for (std::size_t at = range.begin; at < range.end;) {
      const char label = entries[at].first[range.depth];
      const std::size_t begin = at;
      while (at < range.end && entries[at].first[range.depth] == label) ++at;
      place(static_cast<std::uint8_t>(label), static_cast<std::int32_t>(nodes_.size()));
      nodes_.push_back({-1, 0, 0, static_cast<std::uint8_t>(label)});
      ranges.push_back({begin, at, range.depth + 1});
    }
  };
  add_children({0, entries.size(), 0}, [&](std::uint8_t label, std::int32_t node) { root_[label] = node; });
  for (std::size_t n = 0; n < ranges.size(); ++n) {
    Range range = ranges[n];
    for (; range.begin < range.end && entries[range.begin].first.size() == range.depth; ++range.begin)
      nodes_[n].value = entries[range.begin].second;
    nodes_[n].first_child = static_cast<std::int32_t>(nodes_.size());
    add_children(range, [&](std::uint8_t, std::int32_t) { ++nodes_[n].children; });
  }
}

std::int32_t ByteTrie::child(std::int32_t node, std::uint8_t label) const {
  const Node& parent = nodes_[static_cast<std::size_t>(node)];
  const auto begin = nodes_.begin() + parent.first_child, end = begin + parent.children;
  const auto at =
      std::lower_bound(begin, end, label, [](const Node& n, std::uint8_t l) { return n.label < l; });
  return at != end && at->label == label ? static_cast<std::int32_t>(at - nodes_.begin()) : -1;
}

}  // namespace rankine
