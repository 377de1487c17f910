// Weights are found whatever container they are in: by content, in folders, behind an index.
#include "io/formats/open_source.h"

#include "engine/core/error.h"
#include "io/formats/safetensors.h"
#include "io/formats/sharded_source.h"
#include "tests/formats/format_files.h"
#include "tests/formats/torch_files.h"

namespace rankine {
namespace {

using test::TemporaryFolder;

std::string torch_file(const std::string& tensor, float value) {
  const std::string bytes(reinterpret_cast<const char*>(&value), sizeof(value));
  return test::torch_bytes(
      test::p_dict(
          {test::p_text(tensor), test::p_tensor(test::p_storage("FloatStorage", "0", 1), 0, {1}, {1})}),
      {bytes});
}
std::string safetensors_file(const std::string& tensor, float value) {
  const std::string bytes(reinterpret_cast<const char*>(&value), sizeof(value));
  return test::safetensors_bytes("{\"" + tensor + R"(":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                                 bytes);
}
float value_of(const TensorSource& source, const std::string& tensor) {
  float out = 0;
  read_as_float(source.at(tensor), std::span(&out, 1));
  return out;
}
std::string error_of(const std::filesystem::path& path) {
  return test::message_of<DataError>([&] { open_tensor_source(path); });
}

TEST(OpenSource, FilesByContent) {
  const TemporaryFolder folder;
  // The names say nothing.
  EXPECT_EQ(value_of(*open_tensor_source(folder.file("x.ckpt", safetensors_file("w", 1))), "w"), 1.0F);
  EXPECT_EQ(value_of(*open_tensor_source(folder.file("y.safetensors", torch_file("w", 2))), "w"), 2.0F);
  const auto legacy = std::filesystem::path(RANKINE_SOURCE_DIR) / "tests/formats/torch/legacy.bin";
  EXPECT_EQ(value_of(*open_tensor_source(legacy), "scalar"), 2.5F);
  EXPECT_EQ(open_tensor_source(folder.file("z", safetensors_file("w", 1)))->describe(),
            (folder.path() / "z").string());
  // A header of 123 bytes makes a safetensors file begin with '{' like an index.
  std::string header = R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})";
  header.resize(123, ' ');
  const auto braces = folder.file("b", test::safetensors_bytes(header, std::string(4, '\0')));
  EXPECT_EQ(value_of(*open_tensor_source(braces), "w"), 0.0F);
}

TEST(OpenSource, OtherFiles) {
  const TemporaryFolder folder;
  EXPECT_NE(error_of(folder.file("a", "version https://git-lfs.github.com/spec/v1\n")).find("git lfs pull"),
            std::string::npos);
  EXPECT_NE(error_of(folder.file("b", "<!DOCTYPE html>")).find("web page"), std::string::npos);
  EXPECT_NE(
      error_of(folder.file("c", std::string(257, 'x') + "ustar" + std::string(100, '\0'))).find("tar file"),
      std::string::npos);
  EXPECT_NE(error_of(folder.file("d", "\x80\x04N.")).find("Python pickle"), std::string::npos);
  EXPECT_NE(error_of(folder.file("e", "")).find("safetensors, PyTorch checkpoint"), std::string::npos);
  EXPECT_NE(error_of(folder.path() / "missing").find("no such file"), std::string::npos);
}

TEST(OpenSource, Folders) {
  const TemporaryFolder folder;
  EXPECT_NE(error_of(folder.path()).find("none of model.safetensors, "), std::string::npos);
  // Later names are only looked at when the earlier ones are not there.
  folder.file("odd.pth", torch_file("w", 1));
  EXPECT_EQ(value_of(*open_tensor_source(folder.path()), "w"), 1.0F);
  folder.file("odder.pth", torch_file("w", 1));
  EXPECT_NE(error_of(folder.path()).find("2 other files"), std::string::npos);
  folder.file("diffusion_pytorch_model.bin", torch_file("w", 2));
  EXPECT_EQ(value_of(*open_tensor_source(folder.path()), "w"), 2.0F);
  folder.file("pytorch_model.bin.index.json", R"({"weight_map":{"w":"odd.pth"}})");
  EXPECT_EQ(value_of(*open_tensor_source(folder.path()), "w"), 1.0F);
  folder.file("pytorch_model.bin", torch_file("w", 3));
  EXPECT_EQ(value_of(*open_tensor_source(folder.path()), "w"), 3.0F);
  folder.file("diffusion_pytorch_model.safetensors", safetensors_file("w", 4));
  EXPECT_EQ(value_of(*open_tensor_source(folder.path()), "w"), 4.0F);
  folder.file("model.fp16.safetensors", safetensors_file("w", 5));
  EXPECT_EQ(value_of(*open_tensor_source(folder.path()), "w"), 5.0F);
  folder.file("model.safetensors", safetensors_file("w", 6));
  EXPECT_EQ(value_of(*open_tensor_source(folder.path()), "w"), 6.0F);
}

TEST(OpenSource, APipelineIsSeveralModels) {
  const TemporaryFolder folder;
  folder.file("model_index.json", "{}");
  EXPECT_NE(error_of(folder.path()).find("whole pipeline"), std::string::npos);
}

TEST(ShardedSource, ReadsShardsOfBothKinds) {
  const TemporaryFolder folder;
  folder.file("m-1.bin", torch_file("a", 1));
  folder.file("m-2.safetensors",
              test::safetensors_bytes(
                  R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                  std::string("\0\0\0\x40", 4)));
  const auto index = folder.file(
      "m.index.json", R"({"metadata":{"total_size":8},"weight_map":{"a":"m-1.bin","b":"m-2.safetensors"}})");
  const auto model = open_tensor_source(index);
  EXPECT_EQ(model->tensors().size(), 2U);
  EXPECT_EQ(value_of(*model, "a"), 1.0F);
  EXPECT_EQ(value_of(*model, "b"), 2.0F);
  EXPECT_EQ(model->metadata(), (MetadataTable{{"format", "pt"}}));
  EXPECT_EQ(model->describe(), index.string());
}

TEST(ShardedSource, BadIndexes) {
  const TemporaryFolder folder;
  folder.file("m", torch_file("a", 1));
  const auto bad = [&](const std::string& text) { return error_of(folder.file("bad.json", text)); };
  EXPECT_NE(bad(R"({"weight_map":{"c":"m"}})").find("no tensor 'c'"), std::string::npos);
  EXPECT_NE(bad(R"({"weight_map":{"a":"../x"}})").find("plain file name"), std::string::npos);
  EXPECT_NE(bad(R"({"weight_map":{"a":".."}})").find("not allowed"), std::string::npos);
  EXPECT_NE(bad(R"({"weight_map":{"a":"missing"}})").find("missing"), std::string::npos);
  EXPECT_NE(bad(R"({"weight_map":{"a":"x","a":"y"}})").find("appears twice"), std::string::npos);
  EXPECT_NE(bad(R"({"weight_map":[]})").find("weight_map"), std::string::npos);
  EXPECT_NE(bad(R"({"weight_map":{"a":1}})").find("must be a string"), std::string::npos);
  EXPECT_NE(bad("{").find("not a shard index"), std::string::npos);
  EXPECT_NE(bad("{\"a\":" + std::string(200'000, '[')).find("deep"), std::string::npos);
  // An index is no shard: not even of itself.
  EXPECT_NE(bad(R"({"weight_map":{"a":"bad.json"}})").find("not a file of weights"), std::string::npos);
}

}  // namespace
}  // namespace rankine
