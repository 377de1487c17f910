// The vocabulary inside a model file of the ggml family.
#pragma once

#include "io/formats/ggml_legacy.h"
#include "io/formats/gguf.h"
#include "io/text/tokenizer_sources.h"

namespace rankine {

// The keys tokenizer.ggml.*. Throws DataError for a file without tokens, lists of other lengths than the
// tokens, and special tokens outside of them. (An id of "none", 2^32 - 1, counts as not given.)
GgufVocab vocab_of(const GgufFile& file);
GgmlVocab vocab_of(const GgmlFile& file);

}  // namespace rankine
