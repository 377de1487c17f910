// All adapters of one run: attaches LoRA to the modules of a model, gives their parameters to the arena, and
// turns them into adapter files and back. Models never mention it.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "io/formats/adapter_file.h"
#include "models/clip/clip_text.h"
#include "models/names/names.h"
#include "models/unet/unet.h"

namespace rankine {

// Decides for one module: its adapter's sizes, or none. `path` is the model's own spelling.
struct LoraTarget {
  std::string name;  // kohya module name
  std::string path;
  TargetKind kind;
  bool text_encoder;
};
using LoraChooser = std::function<std::optional<LoraSpec>(const LoraTarget&)>;

// What a training configuration asks for; `choose` follows kohya's default targets.
struct LoraPlan {
  LoraSpec unet;
  std::optional<LoraSpec> conv;  // 3×3 convolutions; also switches on the conv_linear targets, at `unet`
  std::optional<LoraSpec> text_encoder;
  std::vector<std::string> patterns;  // when not empty: only modules whose name or path contains one of them
  std::optional<LoraSpec> choose(const LoraTarget& target) const;
};

// The modules of an adapter file, found under either spelling of the U-Net.
LoraChooser chooser_from_file(const AdapterFile& file);

class LoraNetwork {
 public:
  void attach(UNet& unet, const LoraChooser& choose);
  void attach(ClipText& encoder, int index, int encoders, const LoraChooser& choose);

  std::size_t unet_modules() const { return unet_modules_; }
  std::size_t text_modules() const { return text_modules_; }
  std::vector<Param*> params();
  void init(const Context& c, std::uint64_t seed);
  // Outside training nobody else places the parameters: gives them plain storage.
  void allocate(const Context& c);
  void set_strength(float strength);

  // Modules in attachment order, down and up in file shapes; alpha so that alpha / rank is the scale.
  std::vector<AdapterModule> to_file() const;
  // Copies the file's matrices in. Throws DataError listing modules of the file that no layer took, modules
  // that the file lacks, and shapes that differ.
  void from_file(const AdapterFile& file);

 private:
  struct Slot {
    LoraSet* set;
    std::size_t member;
    std::string alternative;  // the other spelling of a U-Net module
    FileLayout layout;
    const LoraMember& get() const { return set->members()[member]; }
  };
  class Attacher;

  std::vector<LoraSet*> sets_;
  std::vector<Slot> slots_;
  std::size_t unet_modules_ = 0, text_modules_ = 0;
};

}  // namespace rankine
