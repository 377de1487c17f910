// Text into HTML, and bytes into base64 (RFC 4648).
#pragma once

#include <string>
#include <string_view>

namespace rankine {

// Replaces & < > " ' so that the text means itself in an element and in a quoted attribute. Control
// characters, which HTML forbids, become U+FFFD, and so does every byte that is not UTF-8.
std::string escape_html(std::string_view text);

std::string base64(std::string_view bytes);

}  // namespace rankine
