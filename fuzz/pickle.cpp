// The pickle inside of a checkpoint, with one storage beside it: the container is always whole.
#include "fuzz/memory_source.h"
#include "fuzz/torch_seeds.h"
#include "io/formats/torch_checkpoint.h"

void rankine::fuzz::read(Bytes input) {
  const std::string file =
      test::zip_bytes({{"a/data.pkl", std::string(text_of(input))}, {"a/data/0", std::string(32, 'x')}});
  const TorchContents contents = parse_torch_checkpoint(std::as_bytes(std::span(file)), "f");
  std::size_t copied = 0;
  for (const auto& copy : contents.gathered) copied += copy.size();
  expect(copied <= file.size(), copied, " bytes copied");
  for (const auto& [name, info] : contents.tensors) expect(info.numel() >= 0, name);
  // The same few bytes may stand behind very many names: decoding them all is not what is measured here.
  if (contents.tensors.size() < 100) check_tensors(contents.tensors);
}

std::vector<std::string> rankine::fuzz::seeds() {
  std::vector<std::string> out;
  for (const std::string& object : torch_objects()) out.push_back(test::p_program(object));
  return out;
}
