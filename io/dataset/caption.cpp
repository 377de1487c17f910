#include "io/dataset/caption.h"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include "engine/core/error.h"

namespace rankine {

namespace {

using Tags = std::vector<std::string>;

struct TagGroups {
  Tags first, middle, last;  // only `middle` is shuffled and dropped
};

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") - begin + 1);
}

Tags split_tags(std::string_view text, const std::string& separator) {
  Tags tags;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    const std::string_view tag = trimmed(text.substr(begin, end - begin));
    if (!tag.empty()) tags.emplace_back(tag);
    begin = end + separator.size();
  }
  return tags;
}

TagGroups group_tags(std::string_view caption, const CaptionOptions& options) {
  TagGroups groups;
  const std::string& mark = options.keep_separator;
  const std::size_t at = mark.empty() ? std::string_view::npos : caption.find(mark);
  if (at != std::string_view::npos) {
    groups.first = split_tags(caption.substr(0, at), options.separator);
    const std::string_view rest = caption.substr(at + mark.size());
    const std::size_t second = rest.find(mark);
    groups.middle = split_tags(rest.substr(0, second), options.separator);
    if (second != std::string_view::npos) {
      groups.last = split_tags(rest.substr(second + mark.size()), options.separator);
    }
    return groups;
  }
  Tags tags = split_tags(caption, options.separator);
  const auto kept =
      static_cast<std::ptrdiff_t>(std::min(tags.size(), static_cast<std::size_t>(options.keep_tags)));
  groups.first.assign(tags.begin(), tags.begin() + kept);
  groups.middle.assign(tags.begin() + kept, tags.end());
  return groups;
}

void shuffle_tags(Tags& tags, const Uniform& uniform) {
  for (std::size_t i = tags.size(); i > 1; --i) {
    const auto j = static_cast<std::size_t>(uniform() * static_cast<double>(i));
    std::swap(tags[i - 1], tags[std::min(j, i - 1)]);
  }
}

std::string join_tags(const TagGroups& groups) {
  std::string out;
  for (const Tags* tags : {&groups.first, &groups.middle, &groups.last}) {
    for (const std::string& tag : *tags) out += out.empty() ? tag : ", " + tag;
  }
  return out;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

bool is_probability(double p) { return p >= 0 && p <= 1; }

}  // namespace

std::string process_caption(std::string_view caption, const CaptionOptions& options, int epoch,
                            const Uniform& uniform) {
  require<std::invalid_argument>(is_probability(options.dropout) && is_probability(options.tag_dropout),
                                 "caption: dropout ", options.dropout, ", tag_dropout ", options.tag_dropout,
                                 "; expected 0 to 1");
  require<std::invalid_argument>(
      !options.separator.empty() && options.keep_tags >= 0 && options.dropout_every_n_epochs >= 0,
      "caption: the separator is empty, or keep_tags or dropout_every_n_epochs negative");
  std::string text(caption);
  if (!options.prefix.empty()) text = text.empty() ? options.prefix : options.prefix + ' ' + text;
  if (!options.suffix.empty()) text = text.empty() ? options.suffix : text + ' ' + options.suffix;

  // Draw before deciding by epoch, so that the epoch does not shift what later steps draw.
  const bool dropped = options.dropout > 0 && uniform() < options.dropout;
  const int every = options.dropout_every_n_epochs;
  if (dropped || (every > 0 && (epoch + 1) % every == 0)) return {};

  const bool marked =
      !options.keep_separator.empty() && text.find(options.keep_separator) != std::string::npos;
  if (options.shuffle || options.tag_dropout > 0 || marked) {
    TagGroups groups = group_tags(text, options);
    if (options.shuffle) shuffle_tags(groups.middle, uniform);
    if (options.tag_dropout > 0) {
      Tags left;
      for (std::string& tag : groups.middle) {
        if (uniform() >= options.tag_dropout) left.push_back(std::move(tag));
      }
      groups.middle = std::move(left);
    }
    text = join_tags(groups);
  }
  if (!options.secondary_separator.empty()) replace_all(text, options.secondary_separator, options.separator);
  return text;
}

}  // namespace rankine
