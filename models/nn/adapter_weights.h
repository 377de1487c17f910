// Adapters of a layer as files hold them (io/formats/adapter_weights.h), and back.
#pragma once

#include "io/formats/adapter_weights.h"
#include "models/nn/adapter.h"

namespace rankine {

// A member of a linear layer's set under the module path of the base model. PiSSA gives the plain LoRA of
// rank 2 r that is the difference from the unchanged base: [up, -up0] · [down; down0].
AdapterWeights adapter_weights(const LoraSet& set, const LoraMember& member, std::string module);

// Copies a file's numbers into the member, whose spec must have the file's rank and magnitude. The file's
// scale is kept: where it is not the member's, the up matrix takes the difference. Throws DataError for other
// sizes, and for PiSSA, whose frozen pair no file has: continue it as the plain LoRA it was exported as.
void set_adapter_weights(LoraSet& set, LoraMember& member, const AdapterWeights& weights);

}  // namespace rankine
