// Text as CLIP sees it, before it is cut into tokens.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace rankine {

// Resolves HTML entities once, by the rules of HTML 5 (numeric ones, those without semicolon) for the names
// of HTML 4.
std::u32string html_unescape(std::u32string_view text);

// html_unescape twice, white space collapsed to single spaces and stripped at the ends, lower case. As in
// OpenAI's CLIP but for its repair of wrongly decoded text ("ftfy").
std::u32string clean_clip_text(std::u32string_view text);

// The pieces that CLIP encodes each by itself, in UTF-8: "<|startoftext|>", "<|endoftext|>", the endings
// 's 't 're 've 'm 'll 'd, runs of letters, single numbers, runs of anything else that is not white space.
std::vector<std::string> split_clip_words(std::u32string_view clean_text);

}  // namespace rankine
