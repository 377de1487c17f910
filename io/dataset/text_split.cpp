#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

#include "engine/core/error.h"
#include "engine/core/philox.h"
#include "io/dataset/text_dataset.h"

namespace rankine {

namespace {

// Row -> group of rows with the same first question, numbered in the order of their first row.
std::vector<std::vector<std::size_t>> groups_of(const std::vector<Conversation>& rows) {
  std::unordered_map<std::string, std::size_t> numbers;
  std::vector<std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Message* first = rows[i].messages.empty() ? nullptr : &rows[i].messages.front();
    const std::string key = first ? first->text + '\0' + first->input : std::string();
    const auto [at, is_new] = numbers.try_emplace(key, groups.size());
    if (is_new) groups.emplace_back();
    groups[at->second].push_back(i);
  }
  return groups;
}

}  // namespace

TextSplitResult split_eval(std::vector<Conversation> rows, double fraction, std::uint64_t seed) {
  require<std::invalid_argument>(fraction > 0 && fraction < 1, "split_eval: the fraction ", fraction,
                                 " is not between 0 and 1");
  std::vector<std::vector<std::size_t>> groups = groups_of(rows);
  HostRandom random({seed, purpose("text split"), 0, 0});
  for (std::size_t i = groups.size(); i > 1; --i) {
    std::swap(groups[i - 1], groups[random.below(static_cast<std::uint32_t>(i))]);
  }
  const auto wanted =
      std::max<std::size_t>(1, static_cast<std::size_t>(std::llround(fraction * double(rows.size()))));
  std::vector<bool> in_eval(rows.size(), false);
  std::size_t count = 0;
  for (const std::vector<std::size_t>& group : groups) {
    if (count + group.size() > wanted) continue;
    for (const std::size_t i : group) in_eval[i] = true;
    count += group.size();
  }
  require<DataError>(count > 0 && count < rows.size(), "of ", rows.size(), " rows with ", groups.size(),
                     " different questions none can be set aside for evaluation; give a file of its own");
  TextSplitResult result;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    (in_eval[i] ? result.eval : result.train).push_back(std::move(rows[i]));
  }
  return result;
}

}  // namespace rankine
