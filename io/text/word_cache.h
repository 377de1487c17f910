// Remembers what words became: texts repeat few words often.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace rankine {

// Appends the ids of `word` to `ids`, from memory or by calling encode(word, ids). Holds up to 65,536 words
// of up to 48 bytes and starts afresh when full. A thread that finds another one at work does not wait, it
// encodes.
class WordCache {
 public:
  template <class Encode>
  void append(std::string_view word, std::vector<std::int32_t>& ids, Encode&& encode) {
    if (word.size() > kLongest) return encode(word, ids);
    std::string key(word);
    {
      const std::unique_lock lock(mutex_, std::try_to_lock);
      if (lock.owns_lock()) {
        const auto at = words_.find(key);
        if (at != words_.end()) {
          ids.insert(ids.end(), at->second.begin(), at->second.end());
          return;
        }
      }
    }
    const auto before = static_cast<std::ptrdiff_t>(ids.size());
    encode(word, ids);
    const std::unique_lock lock(mutex_, std::try_to_lock);
    if (!lock.owns_lock()) return;
    if (words_.size() >= kWords) words_.clear();
    words_.emplace(std::move(key), std::vector<std::int32_t>(ids.begin() + before, ids.end()));
  }

 private:
  static constexpr std::size_t kLongest = 48, kWords = 65536;
  std::mutex mutex_;
  std::unordered_map<std::string, std::vector<std::int32_t>> words_;
};

}  // namespace rankine
