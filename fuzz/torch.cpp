// Whole checkpoints: zip container, or the form before torch 1.6.
#include "fuzz/memory_source.h"
#include "fuzz/torch_seeds.h"
#include "io/formats/torch_checkpoint.h"

void rankine::fuzz::read(Bytes input) {
  const TorchContents contents = parse_torch_checkpoint(input, "f");
  if (contents.tensors.size() < 100) check_tensors(contents.tensors);
}

std::vector<std::string> rankine::fuzz::seeds() {
  using namespace test;
  std::vector<std::string> out;
  for (const std::string& object : torch_objects()) {
    for (const bool zip64 : {false, true}) {
      std::vector<ZipPart> parts{{"a/data.pkl", p_program(object)}, {"a/data/0", std::string(32, 'x')}};
      for (ZipPart& part : parts)
        part.no_crc = true;  // or every change of the pickle would be a wrong checksum
      out.push_back(zip_bytes(parts, {.zip64 = zip64}));
    }
    out.push_back(std::string("\x80\x02\x8A\x0A\x6C\xFC\x9C\x46\xF9\x20\x6A\xA8\x50\x19\x2E", 15) +
                  p_program(p_int(1001)) + p_program(p_dict({p_text("little_endian"), "\x88"})) +
                  p_program(object) + p_program("](" + p_text("0") + "e") + little(8, 8) +
                  std::string(32, 'x'));
  }
  return out;
}
