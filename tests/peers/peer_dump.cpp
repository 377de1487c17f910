// For the peer test: attaches a fresh LoRA with random up matrices to a model file, writes it as users get
// it, and records what our U-Net says with and without it.
//   peer_dump MODEL FOLDER CONV_RANK     writes FOLDER/adapter.safetensors and FOLDER/recorded.safetensors
#include <cstdio>
#include <exception>

#include "kernels/elementwise/elementwise.h"
#include "kernels/random/random.h"
#include "models/nn/load.h"
#include "models/sd/lora_network.h"
#include "models/sd/sd_checkpoint.h"

namespace rankine {
namespace {

Tensor noise(const Context& c, Shape shape, const char* name) {
  Tensor t = c.empty(shape, name);
  fill_normal(c, t, RandomStream{1, purpose(name), 0, 0});
  return t;
}

TensorToWrite stored(const char* name, const Tensor& t) {
  const auto dims = t.shape().dims();
  return tensor_to_write(name, {dims.begin(), dims.end()}, t.span<float>(), FileDType::f32);
}

void dump(const std::filesystem::path& model, const std::filesystem::path& folder, int conv_rank) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const SdCheckpoint checkpoint = open_sd_checkpoint(model);
  UNet unet(checkpoint.unet_config);
  load_weights(c, unet, *checkpoint.unet.source, checkpoint.unet.naming);
  const Tensor x = noise(c, {2, 16, 16, 4}, "x"),
               context = noise(c, {2, 77, checkpoint.unet_config.context_dim}, "context");
  Tensor t = c.empty({2}, "t");
  t.data<float>()[0] = 37;
  t.data<float>()[1] = 801;
  std::vector<TensorToWrite> out{stored("x", x), stored("context", context), stored("t", t),
                                 stored("base", unet.forward(c, {x, t, context, {}}))};
  LoraPlan plan;
  plan.unet.rank = 4;
  plan.unet.alpha = 2;
  if (conv_rank > 0) {
    plan.conv = plan.unet;
    plan.conv->rank = conv_rank;
  }
  LoraNetwork network;
  network.attach(unet, [&](const LoraTarget& target) { return plan.choose(target); });
  network.allocate(c);
  network.init(c, 3);
  for (Param* p : network.params()) {
    if (!p->name.ends_with(".lora_up")) continue;
    fill_normal(c, p->value, RandomStream{2, purpose(p->name), 0, 0});
    scale(c, p->value, p->value, 0.2F);  // clear, but moderate
  }
  AdapterFile file;
  file.modules = network.to_file();
  write_adapter(folder / "adapter.safetensors", file, FileDType::f32);
  out.push_back(stored("adapted", unet.forward(c, {x, t, context, {}})));
  write_safetensors(folder / "recorded.safetensors", std::move(out),
                    {{"modules", std::to_string(network.unet_modules())}});
}

}  // namespace
}  // namespace rankine

int main(int argc, char** argv) {
  try {
    if (argc != 4) throw std::runtime_error("usage: peer_dump MODEL FOLDER CONV_RANK");
    rankine::dump(argv[1], argv[2], std::stoi(argv[3]));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "peer_dump: %s\n", e.what());
    return 1;
  }
  return 0;
}
