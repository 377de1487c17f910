#include "io/text/pair_ranks.h"

#include "engine/core/error.h"
#include "io/files/sha256.h"
#include "io/text/vocabulary_tokenizer.h"

namespace rankine {

PairRanks::PairRanks(const std::vector<std::pair<std::string, std::string>>& merges,
                     const std::function<std::int32_t(std::string_view)>& id_of, const std::string& file) {
  Sha256 hash;
  pairs_.reserve(merges.size());
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string &left = merges[rank].first, &right = merges[rank].second;
    const auto id = [&](const std::string& text) {
      const std::int32_t found = id_of(text);
      require<DataError>(found >= 0, file, ": merge ", rank, " (", shown_token(left), " ", shown_token(right),
                         "): ", shown_token(text), " is no token");
      return found;
    };
    const std::uint64_t pair = key(id(left), id(right));
    const bool fresh = pairs_.emplace(pair, Joined{static_cast<double>(rank), id(left + right)}).second;
    require<DataError>(fresh, file, ": merge ", rank, " (", shown_token(left), " ", shown_token(right),
                       ") is there twice");
    hash.update(std::as_bytes(std::span(&pair, 1)));
  }
  fingerprint_ = hash.hex();
}

}  // namespace rankine
