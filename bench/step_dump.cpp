#include "bench/step_dump.h"

#include "engine/core/transfer.h"
#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"
#include "models/nn/conv.h"
#include "models/nn/linear.h"
#include "models/nn/load.h"

namespace rankine::bench {
namespace {

using Dims = std::vector<std::int64_t>;

Dims dims_of(const Shape& s) { return {s.dims().begin(), s.dims().end()}; }

// The shape that checkpoints give what memory holds as `s`.
Dims file_dims(const Shape& s, FileLayout layout) {
  if (layout == FileLayout::conv) return {s[0], s[3], s[1], s[2]};
  if (layout == FileLayout::conv_1x1) return {s[0], s[1], 1, 1};
  return dims_of(s);
}

}  // namespace

void randomise_up(const Context& c, const std::vector<Param*>& params) {
  constexpr float kSize = 0.05F;
  for (Param* p : params) {
    if (!p->name.ends_with(".lora_up")) continue;
    fill_normal(c, p->value, RandomStream{c.seed, purpose(p->name), 0, 0});
    scale(c, p->value, p->value, kSize);
  }
}

class StepDump::Collector final : public ModelVisitor {
 public:
  Collector(StepDump& dump, std::string prefix) : dump_(dump), prefix_(std::move(prefix)) {}

  void weight(Weight& w) override {
    const FileDType dtype = w.value().dtype() == DType::f16 ? FileDType::f16 : FileDType::f32;
    add("weights/" + prefix_ + w.path(), w.value(), w.layout(), dtype);
  }
  void linear(SharedLinear& layer) override {
    for (auto& set : layer.adapters()) {
      for (LoraMember& m : set->members()) adapter(layer.path(m.output), *set, m, layer.layout());
    }
  }
  void conv(Conv2d& layer) override {
    for (auto& set : layer.adapters()) {
      for (LoraMember& m : set->members()) adapter(layer.path(), *set, m, FileLayout::conv);
    }
  }

 private:
  void add(const std::string& name, const Tensor& t, FileLayout layout, FileDType dtype) {
    dump_.tensors_.push_back(
        tensor_to_write(name, file_dims(t.shape(), layout), to_file_order(t, layout), dtype));
  }
  void adapter(const std::string& path, LoraSet& set, LoraMember& m, FileLayout layout) {
    dump_.lora_scale_ = double(m.spec.scale());
    add("lora/" + path + ".down", set.down_value(m), layout, FileDType::f32);
    add("lora/" + path + ".up", m.up.value, FileLayout::same, FileDType::f32);
    const Tensor down_grad = set.down().grad.slice(m.first, m.first + m.spec.rank);
    add("grad/" + path + ".down", down_grad, layout, FileDType::f32);
    add("grad/" + path + ".up", m.up.grad, FileLayout::same, FileDType::f32);
  }

  StepDump& dump_;
  std::string prefix_;
};

std::unique_ptr<ModelVisitor> StepDump::collector(const std::string& prefix) {
  return std::make_unique<Collector>(*this, prefix);
}

void StepDump::tensor(const std::string& name, const Tensor& t) {
  if (t.dtype() != DType::i32) {
    tensors_.push_back(tensor_to_write(name, dims_of(t.shape()), floats_of(t), FileDType::f32));
    return;
  }
  const std::vector<std::int32_t> values = ints_of(t);
  const auto bytes = std::as_bytes(std::span(values));
  tensors_.push_back({name, FileDType::i32, dims_of(t.shape()), {bytes.begin(), bytes.end()}});
}

void StepDump::number(const std::string& name, double value) {
  const std::vector<float> one{static_cast<float>(value)};
  tensors_.push_back(tensor_to_write(name, {1}, one, FileDType::f32));
}

void StepDump::write(const std::filesystem::path& folder, nlohmann::json sizes) {
  std::filesystem::create_directories(folder);
  sizes["lora_scale"] = lora_scale_;
  write_safetensors(folder / "step.safetensors", std::move(tensors_), {{"step", sizes.dump()}});
}

}  // namespace rankine::bench
