// Stable Diffusion as PyTorch files: a .ckpt loads to the weights of the .safetensors with the same tensors.
#include <gtest/gtest.h>

#include <filesystem>

#include "io/formats/safetensors.h"
#include "models/sd/stable_diffusion.h"
#include "tests/formats/format_files.h"
#include "tests/formats/torch_files.h"

namespace rankine {
namespace {
namespace fs = std::filesystem;

fs::path tiny_model() { return fs::path(RANKINE_SOURCE_DIR) / "examples/sd-style/tiny-sd.safetensors"; }

// The file's tensors under other names, as torch.save would write {"epoch": 1, "state_dict": {...}}.
std::string as_ckpt(const TensorSource& source, const std::function<std::string(std::string)>& renamed) {
  using namespace test;
  std::vector<std::string> items, storages;
  for (const auto& [name, info] : source.tensors()) {
    const std::string type = info.dtype == FileDType::f16   ? "HalfStorage"
                             : info.dtype == FileDType::f32 ? "FloatStorage"
                                                            : "LongStorage";
    std::vector<std::int64_t> strides(info.shape.size());
    std::int64_t stride = 1;
    for (std::size_t k = strides.size(); k-- > 0; stride *= info.shape[k]) strides[k] = stride;
    items.push_back(p_text(renamed(name)));
    items.push_back(
        p_tensor(p_storage(type, std::to_string(storages.size()), info.numel()), 0, info.shape, strides));
    storages.emplace_back(reinterpret_cast<const char*>(info.bytes.data()), info.bytes.size());
  }
  const std::string object = p_dict({p_text("epoch"), p_int(1), p_text("state_dict"), p_dict(items)});
  return torch_bytes(object, storages);
}

class Values final : public ModelVisitor {
 public:
  void weight(Weight& w) override { values[w.path()] = to_file_order(w.value(), w.layout()); }
  std::map<std::string, std::vector<float>> values;
};
template <class Model>
std::map<std::string, std::vector<float>> values_of(Model& model) {
  Values visitor;
  model.visit(visitor);
  return visitor.values;
}

void expect_same_weights(const fs::path& path) {
  Runtime runtime(Device::cpu());
  const Context c(runtime);
  const SdCheckpoint original = open_sd_checkpoint(tiny_model()), opened = open_sd_checkpoint(path);
  const auto tokenizer = std::make_shared<const ClipTokenizer>(original.merges);
  StableDiffusion expected(original, tokenizer), found(opened, tokenizer);
  expected.load(c);
  found.load(c);
  EXPECT_EQ(opened.family, original.family);
  EXPECT_GT(values_of(expected.unet).size(), 100U);
  EXPECT_EQ(values_of(found.unet), values_of(expected.unet));
  EXPECT_EQ(values_of(found.vae), values_of(expected.vae));
  EXPECT_EQ(values_of(*found.text.encoders[0].model), values_of(*expected.text.encoders[0].model));
}

TEST(SdCkpt, LoadsToTheSameWeights) {
  const test::TemporaryFolder folder;
  const SafetensorsFile source(tiny_model());
  expect_same_weights(folder.file("model.ckpt", as_ckpt(source, [](std::string name) { return name; })));
}

TEST(SdCkpt, EarlyTextEncoderNames) {
  const test::TemporaryFolder folder;
  const SafetensorsFile source(tiny_model());
  int renamed = 0;
  const std::string file = as_ckpt(source, [&](std::string name) {
    const std::string body = "text_model.";
    const auto at = name.find(body);
    if (at == std::string::npos) return name;
    ++renamed;
    return name.erase(at, body.size());
  });
  EXPECT_GT(renamed, 30);
  expect_same_weights(folder.file("early.ckpt", file));
}

TEST(SdCkpt, AVaeOfItsOwn) {
  const test::TemporaryFolder folder;
  const SafetensorsFile source(tiny_model());
  const auto path = folder.file("vae.pt", as_ckpt(source, [](std::string name) { return name; }));
  SdCheckpoint k = open_sd_checkpoint(tiny_model());
  replace_vae(k, path);
  EXPECT_EQ(k.vae.source->describe(), path.string());
  EXPECT_EQ(k.vae_config.channels, open_sd_checkpoint(tiny_model()).vae_config.channels);
}

TEST(SdCkpt, OtherCheckpointsAreNoStableDiffusion) {
  const auto path = fs::path(RANKINE_SOURCE_DIR) / "tests/formats/torch/plain.bin";
  EXPECT_NE(test::message_of<DataError>([&] { open_sd_checkpoint(path); }).find("not a Stable Diffusion"),
            std::string::npos);
}

}  // namespace
}  // namespace rankine
