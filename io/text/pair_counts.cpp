#include "io/text/pair_counts.h"

namespace rankine {
namespace {

void replace(std::vector<std::int32_t>& symbols, const SymbolPair& pair, std::int32_t id) {
  std::size_t to = 0;
  for (std::size_t from = 0; from < symbols.size(); ++from) {
    const bool here =
        from + 1 < symbols.size() && symbols[from] == pair.first && symbols[from + 1] == pair.second;
    symbols[to++] = here ? id : symbols[from];
    if (here) ++from;
  }
  symbols.resize(to);
}

}  // namespace

PairCounts::PairCounts(std::vector<CountedWord>& words) : words_(words) {
  for (std::size_t i = 0; i < words_.size(); ++i) count(i, +1);
}

std::pair<SymbolPair, std::int64_t> PairCounts::best() const {
  if (order_.empty()) return {{0, 0}, 0};
  return {order_.begin()->second, -order_.begin()->first};
}

void PairCounts::forget(const SymbolPair& pair) { order_.erase({-pairs_[pair].count, pair}); }

void PairCounts::merge(const SymbolPair& pair, std::int32_t id) {
  const std::set<std::size_t> where = pairs_[pair].words;
  for (const std::size_t i : where) {
    count(i, -1);
    replace(words_[i].symbols, pair, id);
    count(i, +1);
  }
}

void PairCounts::count(std::size_t word, int sign) {
  const auto& symbols = words_[word].symbols;
  for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
    const SymbolPair pair{symbols[i], symbols[i + 1]};
    Occurrences& o = pairs_[pair];
    const bool listed = order_.erase({-o.count, pair}) > 0;
    const bool fresh = o.count == 0;
    o.count += sign * words_[word].count;
    if (sign > 0) o.words.insert(word);
    if (sign < 0) o.words.erase(word);
    if (o.count > 0 && (listed || fresh)) order_.insert({-o.count, pair});
  }
}

}  // namespace rankine
