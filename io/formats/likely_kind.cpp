#include "io/formats/likely_kind.h"

#include <algorithm>
#include <string_view>

namespace rankine {

std::string likely_kind(std::span<const std::byte> file) {
  const std::string_view text(reinterpret_cast<const char*>(file.data()),
                              std::min<std::size_t>(file.size(), 512));
  if (text.starts_with("version https://git-lfs"))
    return "; this is a Git LFS pointer, not the model: fetch the real file with `git lfs pull`";
  if (text.starts_with("PK\x03\x04")) return "; this is a zip file, perhaps a PyTorch .ckpt or .bin";
  if (text.starts_with("GGUF")) return "; this is a GGUF file";
  for (const std::string_view magic : {"tjgg", "fmgg", "lmgg", "ggml"})
    if (text.starts_with(magic)) return "; this is a GGML file";
  if (text.starts_with("<")) return "; this is a web page, perhaps a failed download";
  if (text.size() > 262 && text.substr(257, 5) == "ustar")
    return "; this is a tar file, perhaps a checkpoint of PyTorch before 0.2: save it again with a newer one";
  if (text.starts_with("\x80")) return "; this is a Python pickle that torch.save did not write";
  return "";
}

}  // namespace rankine
