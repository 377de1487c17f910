#include "io/dataset/schedule.h"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <utility>

#include "engine/core/error.h"

namespace rankine {

namespace {

constexpr std::size_t kMaxVisits = std::size_t{1} << 26;  // a slip in the repeats, not a dataset

std::uint64_t splitmix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

// `stream` separates the buckets and the batch order from each other.
template <class T>
void shuffle(std::vector<T>& values, std::uint64_t seed, int epoch, std::uint64_t stream) {
  const std::uint64_t key =
      splitmix64(splitmix64(splitmix64(seed) + static_cast<std::uint64_t>(epoch)) + stream);
  for (std::size_t i = values.size(); i > 1; --i) {
    // The upper 32 bits times i, divided by 2^32: the bias is below i / 2^32.
    const std::uint64_t draw = splitmix64(key + i) >> 32;
    std::swap(values[i - 1], values[static_cast<std::size_t>((draw * i) >> 32)]);
  }
}

std::vector<int> visits_of(std::span<const ScheduleItem> items, bool regularisation) {
  std::vector<int> visits;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].regularisation != regularisation) continue;
    require<std::invalid_argument>(items[i].repeats >= 0, "make_epoch: sample ", i, " has ", items[i].repeats,
                                   " repeats");
    require<DataError>(visits.size() + static_cast<std::size_t>(items[i].repeats) < kMaxVisits,
                       "make_epoch: more than ", kMaxVisits, " visits in one epoch; lower the repeats");
    visits.insert(visits.end(), static_cast<std::size_t>(items[i].repeats), static_cast<int>(i));
  }
  return visits;
}

// bucket -> visits, in the order of the items.
std::map<int, std::vector<int>> visits_by_bucket(std::span<const ScheduleItem> items, int epoch) {
  const std::vector<int> train = visits_of(items, false), prior = visits_of(items, true);
  require<DataError>(!train.empty(), "make_epoch: there are no training samples");
  std::map<int, std::vector<int>> buckets;
  for (const int i : train) buckets[items[static_cast<std::size_t>(i)].bucket].push_back(i);
  const std::size_t start = prior.empty() ? 0 : static_cast<std::size_t>(epoch) % prior.size() * train.size();
  for (std::size_t n = 0; n < train.size() && !prior.empty(); ++n) {
    const int i = prior[(start + n) % prior.size()];
    buckets[items[static_cast<std::size_t>(i)].bucket].push_back(i);
  }
  return buckets;
}

void check(const ScheduleOptions& options, int epoch) {
  require<std::invalid_argument>(options.batch_size >= 1 && epoch >= 0, "make_epoch: batch_size ",
                                 options.batch_size, ", epoch ", epoch);
}

}  // namespace

std::vector<Batch> make_epoch(std::span<const ScheduleItem> items, const ScheduleOptions& options,
                              int epoch) {
  check(options, epoch);
  const auto size = static_cast<std::size_t>(options.batch_size);
  std::vector<Batch> batches;
  std::uint64_t stream = 0;
  for (auto& entry : visits_by_bucket(items, epoch)) {
    std::vector<int>& visits = entry.second;
    shuffle(visits, options.seed, epoch, ++stream);
    for (std::size_t begin = 0; begin < visits.size(); begin += size) {
      const std::size_t end = std::min(begin + size, visits.size());
      batches.push_back({entry.first, std::vector<int>(visits.begin() + static_cast<std::ptrdiff_t>(begin),
                                                       visits.begin() + static_cast<std::ptrdiff_t>(end))});
    }
  }
  shuffle(batches, options.seed, epoch, 0);
  return batches;
}

std::size_t batches_in_epoch(std::span<const ScheduleItem> items, const ScheduleOptions& options, int epoch) {
  check(options, epoch);
  const auto size = static_cast<std::size_t>(options.batch_size);
  std::size_t count = 0;
  for (const auto& entry : visits_by_bucket(items, epoch)) count += (entry.second.size() + size - 1) / size;
  return count;
}

}  // namespace rankine
