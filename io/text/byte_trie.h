// Which of many words does a text start with?
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace rankine {

// A prefix tree over bytes. Of entries with the same word the last one counts; the empty word matches
// nothing.
class ByteTrie {
 public:
  using Entry = std::pair<std::string_view, std::int32_t>;
  ByteTrie() = default;
  explicit ByteTrie(std::vector<Entry> entries);  // copies what it needs of the words

  // visit(length, value) for each word that the text starts with, shortest first.
  template <class Visit>
  void prefixes(std::string_view text, Visit&& visit) const {
    std::int32_t node = text.empty() ? -1 : root_[static_cast<std::uint8_t>(text[0])];
    for (std::size_t length = 1; node >= 0; ++length) {
      const std::int32_t value = nodes_[static_cast<std::size_t>(node)].value;
      if (value >= 0) visit(length, value);
      node = length < text.size() ? child(node, static_cast<std::uint8_t>(text[length])) : -1;
    }
  }

  struct Match {
    std::size_t length = 0;  // 0: none
    std::int32_t value = -1;
  };
  Match longest(std::string_view text) const {
    Match best;
    prefixes(text, [&](std::size_t length, std::int32_t value) { best = {length, value}; });
    return best;
  }

  bool empty() const { return nodes_.empty(); }

 private:
  struct Node {
    std::int32_t value = -1, first_child = 0;
    std::uint16_t children = 0;
    std::uint8_t label = 0;
  };
  std::int32_t child(std::int32_t node, std::uint8_t label) const;

  std::vector<Node> nodes_;  // children of a node stand together, by label
  std::array<std::int32_t, 256> root_ = [] {
    std::array<std::int32_t, 256> none{};
    none.fill(-1);
    return none;
  }();
};

}  // namespace rankine
