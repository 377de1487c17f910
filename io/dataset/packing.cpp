#include "io/dataset/packing.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <stdexcept>

#include "engine/core/error.h"

namespace rankine {

namespace {

// Room left in each of n bins, with the largest of every subtree, to find the first bin with enough.
class Rooms {
 public:
  Rooms(std::size_t n, std::int64_t room) : leaves_(std::bit_ceil(std::max<std::size_t>(n, 1))) {
    tree_.assign(2 * leaves_, room);
  }

  // Takes `length` out of the first bin with room; returns the bin.
  std::size_t take(std::int64_t length) {
    std::size_t node = 1;
    while (node < leaves_) node = 2 * node + (tree_[2 * node] < length ? 1 : 0);
    const std::size_t bin = node - leaves_;
    tree_[node] -= length;
    for (node /= 2; node > 0; node /= 2) tree_[node] = std::max(tree_[2 * node], tree_[2 * node + 1]);
    return bin;
  }

 private:
  std::size_t leaves_;
  std::vector<std::int64_t> tree_;
};

}  // namespace

std::vector<std::vector<std::size_t>> pack(std::span<const std::int64_t> lengths, std::int64_t max_length) {
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    require<std::invalid_argument>(lengths[i] >= 1 && lengths[i] <= max_length, "pack: sample ", i,
                                   " has length ", lengths[i], "; allowed are 1 to ", max_length);
  }
  std::vector<std::size_t> order(lengths.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&lengths](std::size_t a, std::size_t b) { return lengths[a] > lengths[b]; });
  Rooms rooms(lengths.size(), max_length);
  std::vector<std::vector<std::size_t>> bins;
  for (const std::size_t i : order) {
    const std::size_t bin = rooms.take(lengths[i]);
    if (bin == bins.size()) bins.emplace_back();
    bins[bin].push_back(i);
  }
  return bins;
}

}  // namespace rankine
