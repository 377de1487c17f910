#include "io/text/spm_charsmap.h"

#include "engine/core/error.h"
#include "io/text/unicode.h"

namespace rankine {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{4} << 20, kMaxReplacement = 1024;

std::uint32_t base_of(std::uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }
std::uint32_t label_of(std::uint32_t unit) { return unit & 0x800000FF; }
bool ends_word(std::uint32_t unit) { return (unit & 0x100) != 0; }
std::uint32_t value_of(std::uint32_t unit) { return unit & 0x7FFFFFFF; }

bool continues_character(char c) { return (static_cast<std::uint8_t>(c) & 0xC0) == 0x80; }

std::uint32_t read_u32(const char* p) {
  std::uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<std::uint8_t>(p[i]);
  return value;
}

}  // namespace

// Walks the whole trie once. Tails may be shared, so a unit may be reached twice, but not from itself.
class Charsmap::Checker {
 public:
  Checker(const Charsmap& map, const std::string& file) : map_(map), file_(file), state_(map.units_.size()) {}

  void run() {
    enter(0, /*root=*/true);
    while (!path_.empty()) {
      Step& step = path_.back();
      if (step.label == 256) {
        state_[step.unit] = kDone;
        path_.pop_back();
        continue;
      }
      const std::uint32_t label = step.label++;
      const std::uint32_t to = step.base ^ label;
      if (to >= map_.units_.size() || label_of(map_.units_[to]) != label || label == 0) continue;
      check(state_[to] != kOnPath, "unit ", to, " can be reached from itself");
      if (state_[to] == kNew) enter(to, /*root=*/false);
    }
  }

 private:
  static constexpr std::uint8_t kNew = 0, kOnPath = 1, kDone = 2;
  struct Step {
    std::uint32_t unit, base, label;
  };

  void enter(std::uint32_t at, bool root) {
    const std::uint32_t unit = map_.units_[at], base = at ^ base_of(unit);
    state_[at] = kOnPath;
    if (ends_word(unit) && !root) {
      check(base < map_.units_.size(), "unit ", at, " has its value at unit ", base, " of ",
            map_.units_.size());
      const std::uint32_t offset = value_of(map_.units_[base]);
      check(offset < map_.replacements_.size(), "unit ", base, " names the replacement at ", offset, " of ",
            map_.replacements_.size(), " bytes");
      check(!continues_character(map_.replacements_[offset]), "the replacement at ", offset,
            " starts inside a character");
    }
    path_.push_back({at, base, 0});
  }

  template <class... Parts>
  void check(bool ok, const Parts&... parts) const {
    require<DataError>(ok, file_, ": precompiled_charsmap: ", parts...);
  }

  const Charsmap& map_;
  const std::string& file_;
  std::vector<std::uint8_t> state_;
  std::vector<Step> path_;
};

Charsmap::Charsmap(std::string_view bytes, const std::string& file) {
  if (bytes.empty()) return;
  const std::string what = file + ": precompiled_charsmap: ";
  require<DataError>(bytes.size() >= 4 && bytes.size() <= kMaxBytes, what, bytes.size(),
                     " bytes; allowed are 4 to ", kMaxBytes);
  const std::uint32_t size = read_u32(bytes.data());
  require<DataError>(size % 4 == 0 && size > 0 && size <= bytes.size() - 4, what, "a trie of ", size,
                     " bytes in ", bytes.size() - 4);
  for (std::uint32_t i = 0; i < size; i += 4) units_.push_back(read_u32(bytes.data() + 4 + i));
  replacements_ = bytes.substr(4 + size);
  require<DataError>(!replacements_.empty() && replacements_.back() == '\0', what,
                     "the replacements do not end with a NUL");
  check_utf8(replacements_, what + "replacements");
  for (std::size_t at = 0; at < replacements_.size();) {
    const std::size_t end = replacements_.find('\0', at);
    require<DataError>(end - at <= kMaxReplacement, what, "the replacement at ", at, " has ", end - at,
                       " bytes; at most ", kMaxReplacement, " are allowed");
    at = end + 1;
  }
  Checker(*this, file).run();
}

Charsmap::Rule Charsmap::longest(std::string_view text) const {
  Rule best;
  if (units_.empty()) return best;
  std::uint32_t node = base_of(units_[0]);
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<std::uint8_t>(text[i]);
    node ^= byte;
    if (byte == 0 || node >= units_.size() || label_of(units_[node]) != byte) break;
    const std::uint32_t unit = units_[node];
    node ^= base_of(unit);
    if (!ends_word(unit) || (i + 1 < text.size() && continues_character(text[i + 1]))) continue;
    best.length = i + 1;
    best.replacement = std::string_view(replacements_.c_str() + value_of(units_[node]));
  }
  return best;
}

}  // namespace rankine
