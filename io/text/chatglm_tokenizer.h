// The ChatGLM family's vocabularies: what their loaders add to the SentencePiece and tiktoken files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/text/spm_model.h"
#include "io/text/tokenizer.h"

namespace rankine {

// ChatGLM-6B: ice_text.model. Missing ones of its control tokens, <|tab|>, <|blank_2|> .. <|blank_80|> and
// the bytes are appended, bytes are used for what no piece covers. Before encoding, line ends become <n>,
// tabs <|tab|>, 2 to 80 spaces <|blank_k|>; decoding turns them back. `id_offset` is 20000 for the first
// vocabulary (150528 rows, image tokens in front), 0 for the later one (130528). BOS is <sop>, EOS <eop>,
// padding <pad>.
std::shared_ptr<const Tokenizer> make_chatglm_tokenizer(SpmModel model, std::int32_t id_offset,
                                                        const std::string& file);

// ChatGLM2 and ChatGLM3: behind the pieces stand [MASK] [gMASK] [sMASK] sop eop and, in ChatGLM3, <|system|>
// <|user|>
// <|assistant|> <|observation|>. "<sop>" and "<eop>" name theirs too. BOS 1, EOS 2, padding 0.
std::shared_ptr<const Tokenizer> make_chatglm2_tokenizer(SpmModel model, bool version3,
                                                         const std::string& file);

// The control tokens behind GLM-4's 151,329 byte-level ones, in their order.
std::vector<std::string> glm4_controls();

}  // namespace rankine
