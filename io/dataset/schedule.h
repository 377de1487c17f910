// The order in which an epoch visits the pictures: a pure function of the samples, the seed and the epoch, so
// that a resumed run needs only (epoch, batch index).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace rankine {

struct ScheduleItem {
  int bucket = 0;   // pictures of one batch share it
  int repeats = 1;  // visits per epoch
  bool regularisation = false;
};

struct ScheduleOptions {
  int batch_size = 1;
  std::uint64_t seed = 0;
};

struct Batch {
  int bucket = 0;
  std::vector<int> samples;  // indices into the items; 1 .. batch_size of them

  friend bool operator==(const Batch&, const Batch&) = default;
};

// Every training picture appears `repeats` times. Regularisation pictures are repeated or cut until they are
// as many visits as the training ones; where they are cut, the next epoch goes on with those left out. Each
// bucket is shuffled and cut into ceil(n / batch_size) batches, the short one is kept, then batches are
// shuffled. Shuffling is Fisher-Yates with splitmix64 (Steele, Lea, Flood 2014) as a function of (seed,
// epoch, stream, index). Throws std::invalid_argument on batch_size < 1 or negative repeats, and DataError
// when no training picture is left.
std::vector<Batch> make_epoch(std::span<const ScheduleItem> items, const ScheduleOptions& options, int epoch);

// make_epoch(...).size() without making it: the same in every epoch unless regularisation pictures are cut.
std::size_t batches_in_epoch(std::span<const ScheduleItem> items, const ScheduleOptions& options, int epoch);

}  // namespace rankine
