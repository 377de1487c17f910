// The adapters of a language model: which linears get one, their parameters, and their way to and from files.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/formats/adapter_weights.h"
#include "models/decoder/decoder.h"

namespace rankine {

// Which linears are adapted, as PEFT says it. A pattern is a module path, its end behind a dot ("q_proj"), or
// a path with * for any text; "all-linear" is every linear but the output head. An empty list is the family's
// usual set: q and v, or query_key_value.
struct LoraTargets {
  std::vector<std::string> patterns;
  bool matches(const DecoderConfig& config, const DecoderNames& names, const std::string& path) const;
};
std::vector<std::string> default_targets(const DecoderConfig& config, const DecoderNames& names);

// The sizes of one module's adapter, or none.
using DecoderLoraChooser = std::function<std::optional<LoraSpec>(const std::string& path)>;

class DecoderLora {
 public:
  // Hangs adapters on the model, which must outlive this. Throws ConfigError when no module is chosen, naming
  // those there are.
  void attach(Decoder& model, const DecoderLoraChooser& choose);

  std::size_t modules() const { return slots_.size(); }
  std::vector<std::string> module_paths() const;
  const std::vector<std::string>& linear_paths() const { return linears_; }  // of the model, adapted or not
  std::vector<Param*> params();
  void init(const Context& c, std::uint64_t seed);
  // Outside training nobody else places the parameters: gives them plain storage.
  void allocate(const Context& c);
  void set_strength(float strength);

  // One entry a module, in attachment order; PiSSA as the plain LoRA of twice the rank that it amounts to.
  std::vector<AdapterWeights> to_file() const;
  // Copies matrices in. Throws DataError listing modules that have no place here, that are missing, or whose
  // sizes differ.
  void from_file(const std::vector<AdapterWeights>& adapter);

 private:
  struct Slot {
    SharedLinear* layer;
    LoraSet* set;
    std::size_t member;
    LoraMember& get() const { return set->members()[member]; }
  };
  class Attacher;

  std::vector<std::string> linears_;
  std::vector<SharedLinear*> layers_;
  std::vector<Slot> slots_;
};

// The modules and ranks of an adapter file.
DecoderLoraChooser chooser_from(const std::vector<AdapterWeights>& adapter, const LoraSpec& rates);

}  // namespace rankine
