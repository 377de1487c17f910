// Pictures and captions of a run as a pure function of the step: which samples, cut how, under which caption.
#pragma once

#include <string>
#include <vector>

#include "io/config/run_config.h"
#include "io/dataset/buckets.h"
#include "io/dataset/dataset.h"
#include "io/dataset/schedule.h"

namespace rankine {

// One visit of one picture.
struct Visit {
  int sample = 0;       // index into samples()
  CropPlan crop;        // the part that is trained
  std::string caption;  // after shuffling and dropping
  float weight = 1;     // 1, or prior_loss_weight for a regularisation picture
};
using MicroBatch = std::vector<Visit>;  // all of one size

class ImageData {
 public:
  // Scans and checks the folders of `config`; pictures are only opened, never changed. `side` is used where
  // the config names no resolution; sides become multiples of `multiple` (the VAE's downscale). Throws
  // DataError listing every bad picture under on_bad_data: fail.
  ImageData(const config::RunConfig& config, int side, int multiple);

  const std::vector<Sample>& samples() const { return samples_; }
  const std::vector<Problem>& problems() const { return problems_; }
  std::size_t train_pictures() const { return train_count_; }
  const std::vector<Bucket>& buckets() const { return buckets_; }
  ImageSize resolution() const { return options_.resolution; }
  // How many visits of an epoch fall into each bucket of buckets().
  std::vector<int> bucket_counts() const;
  // The sizes that occur, the most expensive first: what a plan has to try.
  std::vector<Bucket> used_buckets() const;

  std::int64_t steps_per_epoch();
  // Micro-batches of optimizer step `step`, one per accumulation; the last step of an epoch may have fewer.
  std::vector<MicroBatch> step(std::int64_t step);
  int epoch_of(std::int64_t step);
  // Fixed visits for the validation loss: the held-out split, or else the first pictures of the training set.
  const MicroBatch& validation() const { return validation_; }
  bool held_out() const { return held_out_; }

  // Every (sample, crop) that training can ask for when crops are not random: what the latent cache is filled
  // with.
  std::vector<Visit> all_crops() const;
  std::string fingerprint() const;  // ids, captions and sizes, hashed

 private:
  void split_validation(double share, std::uint64_t seed);
  Visit visit(int item, int epoch, std::uint32_t ordinal) const;
  Visit plain_visit(int sample, bool flip) const;
  void extend_epochs(std::int64_t step);

  config::RunConfig config_;
  std::vector<Sample> samples_;
  std::vector<Problem> problems_;
  BucketOptions options_;
  std::vector<Bucket> buckets_;
  std::vector<Bucket> sample_bucket_;         // per sample
  std::vector<int> items_;                    // item -> sample, training ones only
  std::vector<ScheduleItem> schedule_;        // parallel to items_
  std::vector<std::int64_t> epoch_begin_{0};  // first step of each epoch known so far
  int cached_epoch_ = -1;
  std::vector<Batch> epoch_batches_;
  MicroBatch validation_;
  bool held_out_ = false;
  std::size_t train_count_ = 0;
};

}  // namespace rankine
