// Learns a CLIP vocabulary from captions, for models that are trained from nothing.
#pragma once

#include <span>
#include <string>

namespace rankine {

// Byte-pair encoding (Sennrich et al. 2016) over the words of the texts, split and cleaned as ClipTokenizer
// does it: joins the most frequent neighbours again and again; of equally frequent pairs the one with the
// smallest ids. Returns text for ClipTokenizer with at most `merges` merges; fewer when no word has two
// symbols left. The same texts give the same result, in any order of the texts. Throws DataError for a text
// that is not UTF-8, and ConfigError unless 0 <= merges <= ClipTokenizer::kMaxMerges.
std::string train_clip_merges(std::span<const std::string> texts, int merges);

}  // namespace rankine
