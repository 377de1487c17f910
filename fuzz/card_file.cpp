#include "io/config/card_file.h"
#include "fuzz/fuzz.h"

void rankine::fuzz::read(Bytes input) {
  const CardSpec spec = config::parse_card(text_of(input), "f");
  expect(spec.usable() > 0 && spec.usable() <= spec.card.memory, "a card without memory");
  expect(spec.card.flops_per_second > 0 && spec.card.bytes_per_second > 0, "a card without a rate");
  expect(spec.peak_flops_per_second >= spec.card.flops_per_second, "a peak below the sustained rate");
}

std::vector<std::string> rankine::fuzz::seeds() {
  const std::string rates =
      "flops_per_second: 148e12\nbytes_per_second: 9.0e+11\nlink_bytes_per_second: 25e9\n"
      "file_bytes_per_second: 3e9\n";
  return {"memory: 24GiB\n" + rates,
          "name: a\nkind: cpu\nmemory: 1.5GiB\nreserved_memory: 512MiB\nlaunch_seconds: 2e-6\n"
          "peak_flops_per_second: 2e14\npeak_bytes_per_second: 1e12\nsource: \"data sheet\"\n" +
              rates};
}
