#include "engine/train/resources.h"

#include <charconv>
#include <fstream>
#include <iterator>
#include <string>

namespace rankine {

namespace {

// "VmHWM:\t   12345 kB" -> bytes; 0 when the key is not there.
std::uint64_t field(std::string_view status, std::string_view key) {
  for (std::size_t at = 0; at < status.size();) {
    const std::size_t end = std::min(status.find('\n', at), status.size());
    std::string_view line = status.substr(at, end - at);
    at = end + 1;
    if (line.substr(0, key.size()) != key) continue;
    line.remove_prefix(std::min(line.find_first_of("0123456789"), line.size()));
    std::uint64_t kib = 0;
    std::from_chars(line.data(), line.data() + line.size(), kib);
    return kib * 1024;
  }
  return 0;
}

}  // namespace

HostMemory parse_host_memory(std::string_view status) {
  return {field(status, "VmRSS:"), field(status, "VmHWM:")};
}

void reset_host_peak() {
  constexpr char kPeak[] = "5\n";  // proc(5)
  std::ofstream("/proc/self/clear_refs") << kPeak;
}

HostMemory host_memory() {
  std::ifstream in("/proc/self/status", std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  return parse_host_memory(text);
}

}  // namespace rankine
