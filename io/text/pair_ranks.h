// A list of merges: which two tokens join to which, and in which order.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "io/text/bpe_merge.h"

namespace rankine {

class PairRanks {
 public:
  PairRanks() = default;
  // `id_of` gives the id of a token by its text, -1 when there is none. Throws DataError "file: merge N ..."
  // for a part or a result that is no token, and for a pair that is there twice.
  PairRanks(const std::vector<std::pair<std::string, std::string>>& merges,
            const std::function<std::int32_t(std::string_view)>& id_of, const std::string& file);

  std::optional<Joined> find(std::int32_t left, std::int32_t right) const {
    if (left < 0 || right < 0) return std::nullopt;
    const auto at = pairs_.find(key(left, right));
    return at == pairs_.end() ? std::nullopt : std::optional(at->second);
  }
  std::string fingerprint() const { return fingerprint_; }  // hash of the pairs in their order

 private:
  static std::uint64_t key(std::int32_t left, std::int32_t right) {
    return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
  }
  struct Mix {
    std::size_t operator()(std::uint64_t x) const {
      x = (x ^ x >> 31) * 0x9E3779B97F4A7C15ULL;
      return static_cast<std::size_t>(x ^ x >> 29);
    }
  };
  std::unordered_map<std::uint64_t, Joined, Mix> pairs_;
  std::string fingerprint_;
};

}  // namespace rankine
