// tiktoken's vocabulary files (`tokenizer.model` of Llama 3 and GLM-4): a line "BASE64 RANK" for each token.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "io/text/vocabulary_tokenizer.h"

namespace rankine {

// Does the text begin with such a line?
bool looks_like_tiktoken(std::string_view text);

// The bytes of each token; index = rank = id. Throws DataError "file:line: ..." for a line that is not
// base64, one space and a number, for ranks or tokens that are there twice, ranks that leave a gap, and empty
// tokens or tokens of more than kMaxTokenBytes.
std::vector<std::string> read_tiktoken(std::string_view text, const std::string& file);

// Byte-level BPE over those tokens (llama3 pre-tokenizer, which GLM-4 shares), the added tokens of `rest`
// behind them; roles come from `rest` too.
std::shared_ptr<const Tokenizer> make_tiktoken_tokenizer(const std::vector<std::string>& tokens,
                                                         Vocabulary rest);

// The 256 control tokens behind Llama 3's 128,000 ones, in their order, as Llama 3.1 calls them.
std::vector<std::string> llama3_controls();

// RFC 4648 with padding; false when the text is not that.
bool decode_base64(std::string_view text, std::string& out);

}  // namespace rankine
