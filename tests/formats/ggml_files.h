// Bytes of GGUF and older ggml files, put together by hand.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace rankine::test {

class Bytes {
 public:
  template <class T>
  Bytes& put(T x) {
    char raw[sizeof(T)];
    std::memcpy(raw, &x, sizeof(T));
    data.append(raw, sizeof(T));
    return *this;
  }
  Bytes& raw(const std::string& text) {
    data += text;
    return *this;
  }
  Bytes& u32(std::uint32_t x) { return put(x); }
  Bytes& u64(std::uint64_t x) { return put(x); }
  Bytes& text(const std::string& s) { return u64(s.size()).raw(s); }  // as GGUF has it
  Bytes& align(std::size_t n) {
    data.resize((data.size() + n - 1) / n * n, '\0');
    return *this;
  }
  std::string data;
};

// A GGUF file up to its keys.
inline Bytes gguf(std::uint64_t tensors, std::uint64_t keys, std::uint32_t version = 3) {
  return Bytes().raw("GGUF").u32(version).u64(tensors).u64(keys);
}
// Lines of GGUF's table of tensors; extents innermost first.
inline Bytes& tensor(Bytes& to, const std::string& name, const std::vector<std::uint64_t>& extents,
                     std::uint32_t type, std::uint64_t offset) {
  to.text(name).u32(static_cast<std::uint32_t>(extents.size()));
  for (const std::uint64_t extent : extents) to.u64(extent);
  return to.u32(type).u64(offset);
}

// A LLaMA file before GGUF.
struct LegacyTensor {
  std::string name;
  std::vector<std::uint32_t> extents;  // innermost first
  std::uint32_t type;
  std::string data;
};
struct Legacy {
  std::uint32_t magic = 0x67676a74, version = 3;
  std::uint32_t n_vocab = 3, n_embd = 64;
  std::vector<std::string> tokens = {"", "a", " b"};
  std::vector<LegacyTensor> tensors;

  bool scored() const { return magic != 0x67676d6c; }
  std::string bytes() const {
    Bytes out;
    out.u32(magic);
    if (scored()) out.u32(version);
    out.u32(n_vocab).u32(n_embd).u32(32).u32(4).u32(1).u32(16).u32(2);
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      out.u32(static_cast<std::uint32_t>(tokens[i].size())).raw(tokens[i]);
      if (scored()) out.put(-static_cast<float>(i));
    }
    for (const LegacyTensor& t : tensors) {
      out.u32(static_cast<std::uint32_t>(t.extents.size()))
          .u32(static_cast<std::uint32_t>(t.name.size()))
          .u32(t.type);
      for (const std::uint32_t extent : t.extents) out.u32(extent);
      out.raw(t.name);
      if (magic == 0x67676a74) out.align(32);
      out.raw(t.data);
    }
    return out.data;
  }
};

}  // namespace rankine::test
