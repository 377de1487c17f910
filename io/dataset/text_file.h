// Small text files that people write: captions and metadata.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace rankine {

// Without leading and trailing spaces, tabs and line ends.
std::string_view trim(std::string_view text);

// Length of the longest start of `text` that is UTF-8 (RFC 3629: no overlong forms, no surrogates) without
// NUL.
std::size_t utf8_prefix(std::string_view text);

// Checks that text is UTF-8 (RFC 3629: no overlong forms, no surrogates) without NUL, and returns it without
// a byte order mark. Throws DataError "name:line: ..." that says what else it may be (UTF-16, or an 8-bit
// encoding).
std::string_view checked_utf8(std::string_view text, const std::string& name);

// The file, at most max_bytes long, checked as above. Throws IoError when it cannot be read.
std::string read_text_file(const std::filesystem::path& path, std::int64_t max_bytes);

}  // namespace rankine
