#include "engine/tape/tape.h"

#include <set>
#include <stdexcept>

namespace rankine {

void Tape::check_top(const void* owner, std::string_view layer, const std::type_info& type) const {
  if (frames_.empty()) {
    throw std::logic_error(join("tape: ", layer, " wants a frame, but the tape is empty"));
  }
  const Entry& top = frames_.back();
  if (top.owner != owner || top.frame->type() != type) {
    throw std::logic_error(join("tape: ", layer, " wants its frame, but the top one belongs to ", top.layer,
                                top.owner == owner ? " with another type" : "",
                                ": backward must mirror forward"));
  }
}

std::map<std::string, std::size_t> Tape::bytes_by_layer() const {
  std::map<std::string, std::size_t> bytes;
  std::set<const Block*> seen;
  for (const Entry& entry : frames_) {
    entry.frame->visit([&](const Tensor& t) {
      if (seen.insert(t.storage()).second) bytes[entry.layer] += t.storage()->bytes();
    });
  }
  return bytes;
}

std::size_t Tape::bytes() const {
  std::size_t sum = 0;
  for (const auto& [layer, bytes] : bytes_by_layer()) sum += bytes;
  return sum;
}

}  // namespace rankine
