// How often neighbours occur in words, kept up to date while they are joined: the inner loop of BPE training.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace rankine {

using SymbolPair = std::pair<std::int32_t, std::int32_t>;

struct CountedWord {
  std::vector<std::int32_t> symbols;
  std::int64_t count;
};

class PairCounts {
 public:
  explicit PairCounts(std::vector<CountedWord>& words);  // the words must outlive this; merge() changes them

  // The most frequent pair, of equals the smallest; a count of 0 when none is left.
  std::pair<SymbolPair, std::int64_t> best() const;

  void forget(const SymbolPair& pair);  // it will not be best() again
  void merge(const SymbolPair& pair, std::int32_t id);

 private:
  struct Occurrences {
    std::int64_t count = 0;
    std::set<std::size_t> words;
  };
  void count(std::size_t word, int sign);

  std::vector<CountedWord>& words_;
  std::map<SymbolPair, Occurrences> pairs_;
  std::set<std::pair<std::int64_t, SymbolPair>> order_;  // (-count, pair) of the pairs that may be merged
};

}  // namespace rankine
