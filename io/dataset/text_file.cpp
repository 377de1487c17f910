#include "io/dataset/text_file.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <system_error>

#include "engine/core/error.h"

namespace rankine {

namespace {

namespace fs = std::filesystem;

bool is_continuation(unsigned char c) { return (c & 0xC0U) == 0x80; }

// Length of the valid sequence at the start of `text`, 0 when there is none.
std::size_t sequence_length(std::string_view text) {
  const auto at = [text](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned lead = at(0), second = at(1);
  if (lead < 0x80) return lead == 0 ? 0 : 1;
  const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if (!is_continuation(static_cast<unsigned char>(text[i]))) return 0;
  }
  const bool overlong = (lead == 0xE0 && second < 0xA0) || (lead == 0xF0 && second < 0x90);
  const bool surrogate = lead == 0xED && second >= 0xA0, too_large = lead == 0xF4 && second >= 0x90;
  return overlong || surrogate || too_large ? 0 : length;
}

}  // namespace

std::string_view trim(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpace) - begin + 1);
}

std::size_t utf8_prefix(std::string_view text) {
  std::size_t i = 0;
  while (i < text.size()) {
    const auto c = static_cast<unsigned char>(text[i]);
    const std::size_t length = c - 1U < 0x7F ? 1 : sequence_length(text.substr(i));
    if (length == 0) break;
    i += length;
  }
  return i;
}

std::string_view checked_utf8(std::string_view text, const std::string& name) {
  const std::string_view mark = text.substr(0, 2);
  require<DataError>(mark != "\xff\xfe" && mark != "\xfe\xff", name,
                     ":1: the text is UTF-16; save it as UTF-8");
  if (text.substr(0, 3) == "\xef\xbb\xbf") text.remove_prefix(3);
  if (const std::size_t i = utf8_prefix(text); i < text.size()) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(i), '\n');
    throw DataError(join(name, ':', line, text[i] == 0 ? ": holds a NUL byte" : ": is not valid UTF-8",
                         "; save the file as UTF-8 text"));
  }
  return text;
}

std::string read_text_file(const fs::path& path, std::int64_t max_bytes) {
  const std::string name = path.string();
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  require<IoError>(fs::exists(status), name, ": no such file");
  require<IoError>(fs::is_regular_file(status), name, ": is not a regular file");
  const auto size = static_cast<std::int64_t>(fs::file_size(path, error));
  require<IoError>(!error, name, ": ", error.message());
  require<DataError>(size <= max_bytes, name, ": has ", size, " bytes; at most ", max_bytes, " are allowed");
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  require<IoError>(in.is_open(), name, ": cannot open: ", std::strerror(errno));
  std::string text(static_cast<std::size_t>(size), '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  require<IoError>(in.gcount() == static_cast<std::streamsize>(text.size()), name, ": read ", in.gcount(),
                   " of ", size, " bytes");
  return std::string(checked_utf8(text, name));
}

}  // namespace rankine
