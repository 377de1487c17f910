// What is done to a caption each time it is used. Same order of steps as the kohya trainers.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace rankine {

struct CaptionOptions {
  std::string prefix, suffix;      // joined to the caption with one space
  double dropout = 0.0;            // probability that the whole caption becomes empty
  int dropout_every_n_epochs = 0;  // also empty in every n-th epoch; 0: never
  bool shuffle = false;            // tags in a random order
  int keep_tags = 0;               // the first n tags keep their place and are never dropped
  double tag_dropout = 0.0;        // probability that a tag is left out
  std::string separator = ",";     // between tags
  std::string keep_separator;      // e.g. "|||": tags before it are kept; after a second one too, at the end
  std::string
      secondary_separator;  // inside a tag; becomes `separator` after shuffling, so such tags stay together
};

// Uniform in [0, 1); called only for what is switched on: once for `dropout` > 0, then n - 1 times to shuffle
// n tags (Fisher-Yates from the back), then once per tag that can be dropped.
using Uniform = std::function<double()>;

// Steps: prefix and suffix; dropout; split at the separator (tags are trimmed, empty ones removed); keep;
// shuffle; tag dropout; join with ", ". A caption with nothing to shuffle, drop or keep apart is returned
// with its own spacing. `epoch` counts from 0. Throws std::invalid_argument on probabilities outside 0..1 or
// an empty separator.
std::string process_caption(std::string_view caption, const CaptionOptions& options, int epoch,
                            const Uniform& uniform);

}  // namespace rankine
