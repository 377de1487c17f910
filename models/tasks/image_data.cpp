#include "models/tasks/image_data.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "engine/core/philox.h"
#include "io/dataset/caption.h"
#include "io/files/sha256.h"

namespace rankine {
namespace {

constexpr std::size_t kValidationPictures = 8;  // of the training set, when no split is asked for

Dataset scan(const config::RunConfig& k) {
  DatasetOptions options;
  options.data_dir = k.data.train_data_dir;
  if (k.data.metadata_path) options.metadata_path = *k.data.metadata_path;
  if (k.data.reg_data_dir) options.regularisation_dir = *k.data.reg_data_dir;
  Dataset dataset = scan_dataset(options);
  check_images(dataset, {static_cast<int>(k.machine.threads > 0 ? k.machine.threads : 2), true});
  const bool fail = k.data.on_bad_data == config::OnBadData::fail;
  require_usable(dataset, fail ? OnBadData::fail : OnBadData::skip);
  return dataset;
}

int round_to(std::int64_t side, int multiple) {
  return std::max(multiple, static_cast<int>(side / multiple * multiple));
}

BucketOptions bucket_options(const config::RunConfig& k, int side, int multiple) {
  const config::Resolution r = k.data.resolution.value_or(config::Resolution{side, side});
  BucketOptions o;
  o.resolution = {round_to(r.width, multiple), round_to(r.height, multiple)};
  o.enabled = k.data.enable_bucket;
  o.no_upscale = k.data.bucket_no_upscale;
  // Small models train below the usual 256 pixels: the range always holds the resolution itself.
  const int low = std::min(o.resolution.width, o.resolution.height);
  const int high = std::max(o.resolution.width, o.resolution.height);
  o.step = std::min(round_to(k.data.bucket_step, multiple), low);
  o.min_side = std::min(round_to(k.data.min_bucket_side, multiple), low);
  o.max_side = std::max(round_to(k.data.max_bucket_side, multiple), high);
  return o;
}

CaptionOptions caption_options(const config::DataSection& d) {
  CaptionOptions o;
  o.prefix = d.caption_prefix;
  o.suffix = d.caption_suffix;
  o.dropout = d.caption_dropout;
  o.shuffle = d.caption_shuffle;
  o.keep_tags = static_cast<int>(d.keep_tokens);
  o.tag_dropout = d.caption_tag_dropout;
  o.separator = d.caption_separator;
  return o;
}

}  // namespace

ImageData::ImageData(const config::RunConfig& config, int side, int multiple) : config_(config) {
  Dataset dataset = scan(config);
  samples_ = std::move(dataset.samples);
  problems_ = std::move(dataset.problems);
  options_ = bucket_options(config, side, multiple);
  std::vector<Bucket> buckets = make_buckets(options_);
  std::map<std::pair<int, int>, int> index;
  for (const Sample& s : samples_) {
    const Bucket b = choose_bucket(options_, buckets, s.size);
    if (index.emplace(std::pair(b.width, b.height), 0).second) buckets_.push_back(b);
    sample_bucket_.push_back(b);
    train_count_ += s.regularisation ? 0 : 1;
  }
  std::sort(buckets_.begin(), buckets_.end(), [](const Bucket& a, const Bucket& b) {
    return std::pair(a.width, a.height) < std::pair(b.width, b.height);
  });
  for (std::size_t i = 0; i < buckets_.size(); ++i)
    index[{buckets_[i].width, buckets_[i].height}] = static_cast<int>(i);
  split_validation(config.data.validation_split, static_cast<std::uint64_t>(config.optim.seed));
  for (const int sample : items_) {
    const Sample& s = samples_[sample];
    const Bucket b = sample_bucket_[sample];
    schedule_.push_back({index[{b.width, b.height}], s.repeats, s.regularisation});
  }
}

void ImageData::split_validation(double share, std::uint64_t seed) {
  std::vector<int> train;
  for (int i = 0; i < static_cast<int>(samples_.size()); ++i) {
    if (!samples_[i].regularisation) train.push_back(i);
  }
  // Ranked by a hash of (seed, name): adding a picture moves few others between the parts.
  const auto rank = [&](int i) {
    return HostRandom({seed, purpose("validation " + samples_[i].id), 0, 0}).word();
  };
  std::vector<int> order = train;
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return rank(a) < rank(b); });
  const auto held = static_cast<std::size_t>(std::llround(share * static_cast<double>(train.size())));
  require<DataError>(held < train.size() || held == 0, "validation_split: leaves no picture to train on");
  held_out_ = held > 0;
  const std::size_t fixed = held_out_ ? held : std::min(kValidationPictures, order.size());
  for (std::size_t i = 0; i < fixed; ++i) validation_.push_back(plain_visit(order[i], false));
  for (int i = 0; i < static_cast<int>(samples_.size()); ++i) {
    const bool out = held_out_ && std::find(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(held),
                                            i) != order.begin() + static_cast<std::ptrdiff_t>(held);
    if (!out) items_.push_back(i);
  }
}

Visit ImageData::plain_visit(int sample, bool flip) const {
  Visit v;
  v.sample = sample;
  v.caption = samples_[sample].caption;
  const CropOptions crop{false, flip ? 1.0 : 0.0};
  v.crop = plan_crop(samples_[sample].size, sample_bucket_[sample], crop, {0.5, 0.5, flip ? 0.0 : 1.0});
  return v;
}

Visit ImageData::visit(int item, int epoch, std::uint32_t ordinal) const {
  const int sample = items_[item];
  const auto seed = static_cast<std::uint64_t>(config_.optim.seed);
  HostRandom random({seed, purpose("picture"), static_cast<std::uint32_t>(epoch), ordinal});
  CropUniforms u;
  u.x = random.uniform();
  u.y = random.uniform();
  u.flip = random.uniform();
  Visit v;
  v.sample = sample;
  v.crop = plan_crop(samples_[sample].size, sample_bucket_[sample],
                     {config_.data.random_crop, config_.data.flip ? 0.5 : 0.0}, u);
  v.caption = process_caption(samples_[sample].caption, caption_options(config_.data), epoch,
                              [&random] { return static_cast<double>(random.uniform()); });
  v.weight = samples_[sample].regularisation ? static_cast<float>(config_.data.prior_loss_weight) : 1.0F;
  return v;
}

void ImageData::extend_epochs(std::int64_t step) {
  const std::int64_t accumulation = config_.optim.gradient_accumulation;
  while (epoch_begin_.back() <= step) {
    const int epoch = static_cast<int>(epoch_begin_.size()) - 1;
    const ScheduleOptions options{static_cast<int>(config_.optim.batch_size),
                                  static_cast<std::uint64_t>(config_.optim.seed)};
    const auto batches = static_cast<std::int64_t>(batches_in_epoch(schedule_, options, epoch));
    epoch_begin_.push_back(epoch_begin_.back() + (batches + accumulation - 1) / accumulation);
  }
}

std::int64_t ImageData::steps_per_epoch() {
  extend_epochs(0);
  return epoch_begin_[1];
}

int ImageData::epoch_of(std::int64_t step) {
  extend_epochs(step);
  const auto it = std::upper_bound(epoch_begin_.begin(), epoch_begin_.end(), step);
  return static_cast<int>(it - epoch_begin_.begin()) - 1;
}

std::vector<MicroBatch> ImageData::step(std::int64_t step) {
  const int epoch = epoch_of(step);
  if (epoch != cached_epoch_) {
    epoch_batches_ = make_epoch(
        schedule_,
        {static_cast<int>(config_.optim.batch_size), static_cast<std::uint64_t>(config_.optim.seed)}, epoch);
    cached_epoch_ = epoch;
  }
  const std::int64_t accumulation = config_.optim.gradient_accumulation;
  const std::int64_t first = (step - epoch_begin_[epoch]) * accumulation;
  const std::int64_t last =
      std::min<std::int64_t>(first + accumulation, static_cast<std::int64_t>(epoch_batches_.size()));
  std::vector<MicroBatch> micro;
  for (std::int64_t b = first; b < last; ++b) {
    MicroBatch& batch = micro.emplace_back();
    for (std::size_t i = 0; i < epoch_batches_[b].samples.size(); ++i) {
      const auto ordinal =
          static_cast<std::uint32_t>(b * config_.optim.batch_size + static_cast<std::int64_t>(i));
      batch.push_back(visit(epoch_batches_[b].samples[i], epoch, ordinal));
    }
  }
  return micro;
}

std::vector<int> ImageData::bucket_counts() const {
  std::vector<int> counts(buckets_.size(), 0);
  for (const ScheduleItem& item : schedule_) counts[item.bucket] += item.repeats;
  return counts;
}

std::vector<Bucket> ImageData::used_buckets() const {
  std::vector<Bucket> used = buckets_;
  std::stable_sort(used.begin(), used.end(), [](const Bucket& a, const Bucket& b) {
    return std::int64_t{a.width} * a.height > std::int64_t{b.width} * b.height;
  });
  return used;
}

std::vector<Visit> ImageData::all_crops() const {
  std::vector<Visit> all;
  for (int i = 0; i < static_cast<int>(samples_.size()); ++i) {
    all.push_back(plain_visit(i, false));
    if (config_.data.flip) all.push_back(plain_visit(i, true));
  }
  return all;
}

std::string ImageData::fingerprint() const {
  std::string text;
  for (const Sample& s : samples_) {
    text += join(s.id, '\n', s.caption, '\n', s.repeats, s.regularisation, s.size.width, 'x', s.size.height,
                 '\n');
  }
  return sha256_hex(std::as_bytes(std::span(text.data(), text.size())));
}

}  // namespace rankine
