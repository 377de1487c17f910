#include "kernels/attention/attention_impl.h"

namespace rankine {

double checked_pairs(std::string_view op, const AttentionSize& s) {
  if (!s.visible) return s.most_pairs();
  double pairs = 0;
  for (std::int64_t n = 0; n < s.samples; ++n)
    for (std::int64_t i = 0; i < s.queries; ++i) {
      const std::int32_t* range = s.visible + 2 * (n * s.queries + i);
      require<ShapeError>(range[0] >= 0 && range[0] < range[1] && range[1] <= s.keys, op, ": row ", i,
                          " of sample ", n, " sees keys [", range[0], ", ", range[1],
                          "), expected 0 <= begin < end <= ", s.keys);
      const KeyRange seen = s.seen(n, i);
      require<ShapeError>(seen.begin < seen.end, op, ": row ", i, " of sample ", n, " sees keys [", range[0],
                          ", ", range[1], "), all of them behind the causal mask");
      pairs += double(seen.end - seen.begin);
    }
  return pairs;
}

std::int64_t cut_queries(const AttentionSize& s, std::int64_t rows, QueryTile* list) {
  std::int64_t count = 0;
  for (std::int32_t n = 0; n < s.samples; ++n)
    for (std::int32_t i = 0; i < s.queries; ++i) {
      const KeyRange seen = s.seen(n, i);
      const auto begin = static_cast<std::int32_t>(seen.begin), end = static_cast<std::int32_t>(seen.end);
      QueryTile* tile = count > 0 && list[count - 1].sample == n ? &list[count - 1] : nullptr;
      if (!tile || tile->rows == rows || begin >= tile->end || end <= tile->begin) {
        list[count++] = {n, i, 1, begin, end};
      } else {
        ++tile->rows;
        tile->begin = std::min(tile->begin, begin);
        tile->end = std::max(tile->end, end);
      }
    }
  return count;
}

}  // namespace rankine
