// The exact token stream, for people.
#pragma once

#include <string>

#include "io/dataset/chat_renderer.h"
#include "io/text/tokenizer.h"

namespace rankine {

enum class TokenMarks {
  plain,  // what is trained stands in ⟦ ⟧
  ansi    // what is trained is green, control tokens are bold
};

// Tokens separated by one space, each as the vocabulary shows it; where that hides other letters than ASCII
// (byte- level vocabularies), as the text it stands for if it is whole characters. Control characters become
// <0xNN>. A line break follows each token that holds one.
std::string show_tokens(const TokenSequence& sequence, const Tokenizer& tokenizer,
                        TokenMarks marks = TokenMarks::plain);

}  // namespace rankine
