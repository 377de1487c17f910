// PyTorch checkpoints: files written by torch itself, and files that no honest program writes.
#include "io/formats/torch_checkpoint.h"

#include "engine/core/error.h"
#include "tests/formats/format_files.h"
#include "tests/formats/torch_files.h"

namespace rankine {
namespace {

using test::p_dict;
using test::p_global;
using test::p_int;
using test::p_storage;
using test::p_tensor;
using test::p_text;
using test::p_tuple;
using test::torch_bytes;
using Shape = std::vector<std::int64_t>;

std::filesystem::path fixture(const std::string& name) {
  return std::filesystem::path(RANKINE_SOURCE_DIR) / "tests/formats/torch" / name;
}

TorchContents parse(const std::string& file) { return parse_torch_checkpoint(test::as_bytes(file), "f"); }
std::string error_of(const std::string& file) {
  return test::message_of<DataError>([&] { parse(file); });
}
std::vector<float> floats_of(const TensorInfo& info) {
  std::vector<float> out(static_cast<std::size_t>(info.numel()));
  read_as_float(info, out);
  return out;
}
std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}
std::vector<std::string> names_of(const TorchContents& contents) {
  std::vector<std::string> names;
  for (const auto& [name, info] : contents.tensors) names.push_back(name);
  return names;
}

// ---- files of torch 1.13, see tests/formats/torch/make_torch_files.py ----

void expect_fixture(const TensorSource& source) {
  const auto expect = [&](const char* name, FileDType dtype, const Shape& shape,
                          const std::vector<float>& values) {
    const TensorInfo& info = source.at(name);
    EXPECT_EQ(info.dtype, dtype) << name;
    EXPECT_EQ(info.shape, shape) << name;
    if (dtype != FileDType::other) {
      EXPECT_EQ(floats_of(info), values) << name;
    }
  };
  expect("f64", FileDType::f64, {2}, {0.5F, -1.25F});
  expect("f32", FileDType::f32, {3, 4}, {0, 0.5F, 1, 1.5F, 2, 2.5F, 3, 3.5F, 4, 4.5F, 5, 5.5F});
  expect("f16", FileDType::f16, {1, 2}, {1, -2.5F});
  expect("bf16", FileDType::bf16, {3}, {3, -0.125F, 0x1.94p+99F});  // 1e30 rounded to 8 bits
  expect("i64", FileDType::i64, {2}, {-0x1p40F, 7});
  expect("i16", FileDType::i16, {1}, {-300});
  expect("i8", FileDType::i8, {2}, {-5, 5});
  expect("u8", FileDType::u8, {1}, {200});
  expect("bool", FileDType::boolean, {3}, {1, 0, 1});
  expect("complex", FileDType::other, {1}, {});
  EXPECT_EQ(source.at("complex").bytes.size(), 8U);
  expect("scalar", FileDType::f32, {}, {2.5F});
  expect("empty", FileDType::f32, {0, 3}, {});
  expect("transposed", FileDType::f32, {4, 3}, {0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11});
  expect("every.second", FileDType::f32, {3, 2}, {0, 2, 4, 6, 8, 10});
  expect("last.row", FileDType::f32, {4}, {8, 9, 10, 11});
  expect("expanded", FileDType::f32, {1, 4}, {0, 1, 2, 3});
  expect("tied.a", FileDType::i32, {4}, {0, 1, 2, 3});
  expect("parameter", FileDType::f32, {2}, {1, 2});
  EXPECT_EQ(source.at("tied.a").bytes.data(), source.at("tied.b").bytes.data());
  EXPECT_EQ(source.tensors().size(), 19U);
  EXPECT_TRUE(source.metadata().empty());
}

TEST(TorchFiles, StateDict) { expect_fixture(TorchCheckpoint(fixture("plain.bin"))); }
TEST(TorchFiles, Protocol4) { expect_fixture(TorchCheckpoint(fixture("protocol4.bin"))); }
TEST(TorchFiles, BeforeZip) { expect_fixture(TorchCheckpoint(fixture("legacy.bin"))); }
TEST(TorchFiles, LightningCheckpoint) { expect_fixture(TorchCheckpoint(fixture("lightning.ckpt"))); }

TEST(TorchFiles, WholeObjectsAreRefused) {
  EXPECT_NE(error_of(test::read_all(fixture("module.pt"))).find("state_dict()"), std::string::npos);
  EXPECT_NE(error_of(test::read_all(fixture("script.pt"))).find("TorchScript"), std::string::npos);
}

TEST(TorchFiles, EveryTruncation) {
  for (const char* name : {"plain.bin", "legacy.bin"}) {
    const std::string file = test::read_all(fixture(name));
    ASSERT_GT(file.size(), 2000U);
    for (std::size_t size = 0; size < file.size(); ++size)
      EXPECT_THROW(parse(file.substr(0, size)), DataError) << name << ' ' << size;
    EXPECT_THROW(parse(file + '\0'), DataError) << name;
  }
}

// ---- where the tensors are ----

std::string scalar(const std::string& key = "0") {
  return p_tensor(p_storage("FloatStorage", key, 1), 0, {}, {});
}

TEST(TorchContents, Wrappers) {
  const std::string inner = p_dict({p_text("w"), scalar()}), one = floats({1});
  for (const char* key : {"state_dict", "model_state_dict", "model", "module", "params_ema", "params"})
    EXPECT_EQ(names_of(parse(torch_bytes(p_dict({p_text("epoch"), p_int(3), p_text(key), inner}), {one}))),
              std::vector<std::string>{"w"})
        << key;
  EXPECT_EQ(names_of(parse(torch_bytes(p_dict({p_text("model"), p_dict({p_text("module"), inner})}), {one}))),
            std::vector<std::string>{"w"});
  // A tensor or an object of that name is no wrapper, and neither is an empty dict.
  EXPECT_EQ(names_of(parse(torch_bytes(p_dict({p_text("model"), scalar()}), {one}))),
            std::vector<std::string>{"model"});
  EXPECT_EQ(names_of(parse(torch_bytes(p_dict({p_text("model"), "}", p_text("w"), scalar()}), {one}))),
            std::vector<std::string>{"w"});
}

TEST(TorchContents, NestedDicts) {
  const std::string tree =
      p_dict({p_text("unet"), p_dict({p_text("a"), p_dict({p_text("b"), scalar()})}), p_text("c"), scalar(),
              p_int(5), scalar(), p_text("text"), p_text("hello")});
  EXPECT_EQ(names_of(parse(torch_bytes(tree, {floats({1})}))), (std::vector<std::string>{"c", "unet.a.b"}));
  const std::string clash = p_dict({p_text("a.b"), scalar(), p_text("a"), p_dict({p_text("b"), scalar()})});
  EXPECT_NE(error_of(torch_bytes(clash, {floats({1})})).find("\"a.b\": appears twice"), std::string::npos);
}

TEST(TorchContents, NothingThere) {
  for (const std::string& body :
       std::vector<std::string>{"}", "]", "N", scalar(), p_global("torch.nn", "Linear") + ")R"})
    EXPECT_NE(error_of(torch_bytes(body, {floats({1})})).find("holds no tensors"), std::string::npos);
}

TEST(TorchContents, DictsThatHoldEachOther) {
  // A dict in itself, under a wrapper's name and under another.
  for (const char* key : {"model", "x"}) {
    const std::string body = join("}\x94", p_text(key), std::string("h\0s", 3), p_text("w"), scalar(), "s");
    EXPECT_NE(error_of(torch_bytes(body, {floats({1})})).find("again and again"), std::string::npos) << key;
  }
  // 10 names for each of 8 dicts, each level for all of the next: 10^8 tensors if it were written out.
  std::string bomb = p_dict({p_text("w"), scalar()}) + "\x94";
  for (int level = 0; level < 7; ++level) {
    bomb += "}(";
    for (char c = 'a'; c < 'k'; ++c) bomb += join(p_text(std::string(1, c)), "h", static_cast<char>(level));
    bomb += "u\x94";
  }
  const std::string top = join("(", bomb, "t0h\x07");
  EXPECT_NE(error_of(torch_bytes(top, {floats({1})})).find("again and again"), std::string::npos);
  // Long names before many short ones.
  std::string wide = "}(";
  for (int i = 0; i < 300; ++i) wide += p_text(std::to_string(i)) + "N";
  const std::string long_name =
      p_dict({p_text(std::string(1 << 18, 'x')), wide + "u", p_text("w"), scalar()});
  EXPECT_NE(error_of(torch_bytes(long_name, {floats({1})})).find("bytes of names"), std::string::npos);
}

// ---- one tensor ----

std::string one_tensor(const std::string& tensor, const std::string& storage) {
  return torch_bytes(p_dict({p_text("w"), tensor}), {storage});
}
std::string view_error(std::int64_t offset, const Shape& shape, const Shape& strides) {
  return error_of(
      one_tensor(p_tensor(p_storage("FloatStorage", "0", 4), offset, shape, strides), std::string(16, 'x')));
}

TEST(TorchTensor, ContiguousOnesAreNotCopied) {
  const std::string file =
      one_tensor(p_tensor(p_storage("FloatStorage", "0", 4), 2, {1, 2}, {77, 1}), floats({1, 2, 3, 4}));
  const TorchContents contents = parse(file);
  const TensorInfo& info = contents.tensors.at("w");
  EXPECT_EQ(floats_of(info), (std::vector<float>{3, 4}));
  const auto* begin = reinterpret_cast<const char*>(info.bytes.data());
  EXPECT_TRUE(begin >= file.data() && begin < file.data() + file.size());
  EXPECT_TRUE(contents.gathered.empty());
}

TEST(TorchTensor, Views) {
  EXPECT_NE(view_error(0, {5}, {1}).find("reaches element 4 of a storage of 4"), std::string::npos);
  EXPECT_NE(view_error(1, {2, 2}, {2, 1}).find("reaches element 4"), std::string::npos);
  EXPECT_NE(view_error(-1, {1}, {1}).find("negative offset"), std::string::npos);
  EXPECT_NE(view_error(3, {2}, {-1}).find("negative stride"), std::string::npos);
  EXPECT_NE(view_error(0, {-1}, {1}).find("negative size"), std::string::npos);
  EXPECT_NE(view_error(0, {1, 2}, {1}).find("2 sizes and 1 strides"), std::string::npos);
  EXPECT_NE(view_error(0, Shape(17, 1), Shape(17, 1)).find("17 dimensions"), std::string::npos);
  constexpr std::int64_t kHuge = std::numeric_limits<std::int64_t>::max();
  EXPECT_NE(view_error(0, {kHuge, kHuge}, {1, 1}).find("overflows"), std::string::npos);
  EXPECT_NE(view_error(0, {0, kHuge, kHuge}, {1, 1, 1}).find("overflows"), std::string::npos);
  EXPECT_NE(view_error(0, {2, 2}, {kHuge, kHuge}).find("overflows"), std::string::npos);
  EXPECT_NE(view_error(kHuge, {2}, {1}).find("overflows"), std::string::npos);
  EXPECT_NE(view_error(0, {kHuge}, {0}).find("overflows"), std::string::npos);  // in bytes
  EXPECT_NE(view_error(0, {1 << 30}, {0}).find("beyond the size of the file"), std::string::npos);
}

TEST(TorchTensor, CopiesNeverExceedTheFile) {
  // Transposed views of the one storage, each a copy as large as the storage.
  const std::string storage(40'000, 'x');
  std::vector<std::string> items;
  for (int i = 0; i < 3; ++i) {
    items.push_back(p_text(std::to_string(i)));
    items.push_back(p_tensor(p_storage("FloatStorage", "0", 10'000), 0, {100, 100}, {1, 100}));
  }
  EXPECT_NE(error_of(torch_bytes(p_dict(items), {storage})).find("beyond the size of the file"),
            std::string::npos);
  items.resize(2);
  EXPECT_EQ(parse(torch_bytes(p_dict(items), {storage})).gathered.size(), 1U);
}

TEST(TorchTensor, Storages) {
  const auto error = [](const std::string& storage, std::size_t bytes) {
    return error_of(one_tensor(p_tensor(storage, 0, {1}, {1}), std::string(bytes, 'x')));
  };
  EXPECT_NE(error(p_storage("FloatStorage", "0", 4), 15).find("needs 4 elements of 4 bytes and has 15"),
            std::string::npos);
  EXPECT_NE(error(p_storage("FloatStorage", "0", std::numeric_limits<std::int64_t>::max()), 16).find("needs"),
            std::string::npos);
  EXPECT_NE(error(p_storage("FloatStorage", "0", -1), 16).find("without key or size"), std::string::npos);
  EXPECT_NE(error(p_storage("FloatStorage", "7", 4), 16).find("\"7\" is not in the file"), std::string::npos);
  EXPECT_NE(error(p_storage("FloatStorage", "../../../etc/passwd", 4), 16).find("is not in the file"),
            std::string::npos);
  EXPECT_NE(error(p_storage("QUInt8Storage", "0", 4), 16).find("is not known"), std::string::npos);
  EXPECT_NE(error(p_int(1), 16).find("no storage"), std::string::npos);
  EXPECT_NE(error(p_tuple({p_text("module"), p_int(1)}) + "Q", 16).find("no storage"), std::string::npos);
  EXPECT_NE(error(p_tuple({p_text("storage"), p_global("evil", "FloatStorage"), p_text("0"), p_text("cpu"),
                           p_int(4)}) +
                      "Q",
                  16)
                .find("is not known"),
            std::string::npos);
}

TEST(TorchTensor, CallsThatAreNotAllowed) {
  // An unknown callee is no tensor, whatever its arguments; the rest of the file is read.
  const std::string storage = p_storage("FloatStorage", "0", 1);
  const std::string arguments = p_tuple({storage, p_int(0), ")", ")", "\x89", "N"});
  for (const auto& [module, name] :
       std::vector<std::pair<std::string, std::string>>{{"torch._utils", "_rebuild_tensor_v9"},
                                                        {"torch", "_rebuild_tensor_v2"},
                                                        {"my.module", "load"},
                                                        {"torch.hub", "load"},
                                                        {"torch", "load"},
                                                        {"builtins", "getattr"},
                                                        {"functools", "partial"}}) {
    const std::string body =
        p_dict({p_text("x"), p_global(module, name) + arguments + "R", p_text("w"), scalar()});
    EXPECT_EQ(names_of(parse(torch_bytes(body, {floats({1})}))), std::vector<std::string>{"w"}) << name;
  }
  const std::string attack = p_global("os", "system") + p_text("touch /tmp/x") + "\x85R";
  EXPECT_NE(error_of(torch_bytes(p_dict({p_text("w"), scalar(), p_text("x"), attack}), {floats({1})}))
                .find("attack"),
            std::string::npos);
}

TEST(TorchTensor, Arguments) {
  const auto tensor = [](const std::string& name, const std::vector<std::string>& arguments) {
    return one_tensor(p_global("torch._utils", name) + p_tuple(arguments) + "R", std::string(16, '\0'));
  };
  const std::string raw = p_storage("UntypedStorage", "0", 16), four = p_tuple({p_int(4)}),
                    one = p_tuple({p_int(1)});
  const auto dtype = [](const char* name) { return p_global("torch", name); };
  EXPECT_EQ(parse(tensor("_rebuild_tensor_v3", {raw, p_int(0), four, one, "\x89", "N", dtype("uint32")}))
                .tensors.at("w")
                .dtype,
            FileDType::u32);
  EXPECT_EQ(
      parse(tensor("_rebuild_tensor_v3", {raw, p_int(12), four, one, "\x89", "N", dtype("float8_e4m3fn")}))
          .tensors.at("w")
          .dtype,
      FileDType::f8_e4m3);
  EXPECT_NE(error_of(tensor("_rebuild_tensor_v3", {raw, p_int(0), four, one, "\x89", "N", dtype("nonsense")}))
                .find("not known"),
            std::string::npos);
  EXPECT_NE(error_of(tensor("_rebuild_tensor_v3", {raw, p_int(0), four, one})).find("too few"),
            std::string::npos);
  EXPECT_NE(error_of(tensor("_rebuild_tensor_v2", {raw})).find("too few"), std::string::npos);
  EXPECT_NE(error_of(tensor("_rebuild_tensor", {raw, "N", four, one})).find("offset is no whole"),
            std::string::npos);
  EXPECT_NE(error_of(tensor("_rebuild_tensor", {raw, p_int(0), "N", one})).find("size is no tuple"),
            std::string::npos);
  EXPECT_NE(
      error_of(tensor("_rebuild_tensor", {raw, p_int(0), p_tuple({"N"}), one})).find("size is no whole"),
      std::string::npos);
  const std::string size = p_global("torch", "Size") + four + "\x85R";
  EXPECT_EQ(parse(tensor("_rebuild_tensor", {raw, p_int(0), size, one})).tensors.at("w").shape, Shape{4});
  const std::string flags = p_dict({p_text("neg"), "\x88"});
  EXPECT_NE(error_of(tensor("_rebuild_tensor_v2", {raw, p_int(0), four, one, "\x89", "N", flags}))
                .find("resolve_neg"),
            std::string::npos);
  EXPECT_NE(error_of(tensor("_rebuild_parameter", {})).find("parameter of nothing"), std::string::npos);
  std::string nested = scalar();
  for (int i = 0; i < 9; ++i)
    nested = p_global("torch.nn.parameter", "Parameter") + p_tuple({nested, "\x88"}) + "R";
  EXPECT_NE(error_of(one_tensor(nested, floats({1}))).find("nested"), std::string::npos);
}

// ---- the archive ----

TEST(TorchArchive, Members) {
  const std::string pickle = test::p_program(p_dict({p_text("w"), scalar()}));
  const test::ZipPart data{"m/data/0", floats({4})};
  const auto file = [&](std::vector<test::ZipPart> parts) {
    parts.push_back(data);
    return test::zip_bytes(parts);
  };
  EXPECT_EQ(floats_of(parse(file({{"m/data.pkl", pickle}, {"m/byteorder", "little"}})).tensors.at("w"))[0],
            4.0F);
  EXPECT_NE(error_of(file({{"m/data.pkl", pickle}, {"m/byteorder", "big"}})).find("byte order"),
            std::string::npos);
  EXPECT_NE(error_of(file({{"m/data.pkl", pickle}, {"m/constants.pkl", pickle}})).find("TorchScript"),
            std::string::npos);
  EXPECT_NE(error_of(file({{"m/data.pkl", pickle}, {"m/code/a.py", ""}})).find("TorchScript"),
            std::string::npos);
  EXPECT_NE(error_of(file({{"data.pkl", pickle}})).find("without FOLDER/data.pkl"), std::string::npos);
  EXPECT_NE(error_of(file({{"a/b/data.pkl", pickle}})).find("without FOLDER/data.pkl"), std::string::npos);
  EXPECT_NE(error_of(file({{"m/data.pkl", pickle}, {"n/data.pkl", pickle}})).find("two members"),
            std::string::npos);
  EXPECT_NE(error_of(file({{"m/data.pkl", pickle + "x"}})).find("1 bytes after the end"), std::string::npos);
  EXPECT_NE(error_of(file({{"m/data.pkl", pickle, 0, 0, "", 1}})).find("checksum"), std::string::npos);
  EXPECT_EQ(
      parse(torch_bytes(p_dict({p_text("w"), scalar()}), {floats({4})}, {.zip64 = true})).tensors.size(), 1U);
  EXPECT_NE(error_of("\x80\x02}.").find("no checkpoint of PyTorch"), std::string::npos);
}

// ---- before torch 1.6 ----

std::string legacy_bytes(const std::string& object, const std::string& keys, const std::string& data,
                         const std::string& system = p_dict({p_text("little_endian"), "\x88"})) {
  using test::p_program;
  return std::string("\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19\x2E", 15) +
         p_program(p_int(1001)) + p_program(system) + p_program(object) + p_program(keys) + data;
}
std::string legacy_storage(std::int64_t numel, const std::string& view) {
  return p_tuple({p_text("storage"), p_global("torch", "FloatStorage"), p_text("k"), p_text("cpu"),
                  p_int(numel), view}) +
         "Q";
}

TEST(TorchLegacy, Forms) {
  const auto object = [](const std::string& view) {
    return p_dict({p_text("w"), p_tensor(legacy_storage(3, view), 0, {1}, {1})});
  };
  const std::string keys = "](" + p_text("k") + "e", data = test::little(3, 8) + floats({5, 6, 7});
  EXPECT_EQ(floats_of(parse(legacy_bytes(object("N"), keys, data)).tensors.at("w"))[0], 5.0F);
  const auto view = [](std::int64_t begin, std::int64_t size) {
    return p_tuple({p_text("v"), p_int(begin), p_int(size)});
  };
  EXPECT_EQ(floats_of(parse(legacy_bytes(object(view(2, 1)), keys, data)).tensors.at("w"))[0], 7.0F);
  EXPECT_NE(error_of(legacy_bytes(object(view(3, 1)), keys, data)).find("outside of its storage"),
            std::string::npos);
  EXPECT_NE(error_of(legacy_bytes(object(view(-1, 1)), keys, data)).find("outside of its storage"),
            std::string::npos);
  EXPECT_NE(error_of(legacy_bytes(object(view(2, 0)), keys, data)).find("reaches element 0"),
            std::string::npos);
  EXPECT_NE(error_of(legacy_bytes(object("N"), keys, data, p_dict({p_text("little_endian"), "\x89"})))
                .find("big-endian"),
            std::string::npos);
  EXPECT_NE(error_of(legacy_bytes(object("N"), keys, test::little(4, 8) + floats({1, 2, 3, 4})))
                .find("its tensors say 3"),
            std::string::npos);
  EXPECT_NE(error_of(legacy_bytes(object("N"), "](" + p_text("other") + "e", data)).find("used by no tensor"),
            std::string::npos);
  EXPECT_NE(error_of(legacy_bytes(object("N"), "]", "")).find("is not in the file"), std::string::npos);
  EXPECT_NE(
      error_of(legacy_bytes(object("N"), "](" + p_text("k") + p_text("k") + "e", data + data)).find("twice"),
      std::string::npos);
  EXPECT_NE(error_of(legacy_bytes(object("N"), "N", data)).find("list of storages"), std::string::npos);
  EXPECT_NE(error_of(legacy_bytes(object("N"), keys, data, "N")).find("dict about the system"),
            std::string::npos);
  EXPECT_NE(
      error_of(legacy_bytes(p_dict({p_text("w"), p_tensor(legacy_storage(1LL << 62, "N"), 0, {1}, {1})}),
                            keys, test::little(1ULL << 62, 8)))
          .find("overflows"),
      std::string::npos);
}

}  // namespace
}  // namespace rankine
