#include "kernels/emulator/shared_memory.h"

#include <elf.h>
#include <link.h>
#include <sys/mman.h>

#include <cstring>
#include <fstream>
#include <new>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/emulator/limits.h"
#include "kernels/emulator/sanitizer.h"

namespace rankine::emulator::shared_memory {
namespace {

struct Range {
  std::uintptr_t begin, end;
};

constexpr std::string_view kSection = "rankine.shared.";  // emulator_types.h
constexpr std::size_t kRoom = 256 * 1024;  // of addresses: the allowed part and ground that is not
static_assert(limits::kSharedOptIn < kRoom / 2);

// Sections of one program file that hold __shared__ variables.
void add_sections(const std::string& path, std::uintptr_t base, std::vector<Range>& ranges) {
  std::ifstream file(path, std::ios::binary);
  ElfW(Ehdr) header;
  if (!file.read(reinterpret_cast<char*>(&header), sizeof(header)) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_shstrndx >= header.e_shnum)
    return;
  std::vector<ElfW(Shdr)> sections(header.e_shnum);
  file.seekg(static_cast<std::streamoff>(header.e_shoff));
  if (!file.read(reinterpret_cast<char*>(sections.data()),
                 static_cast<std::streamsize>(sections.size() * sizeof(sections[0]))))
    return;
  std::string names(sections[header.e_shstrndx].sh_size, '\0');
  file.seekg(static_cast<std::streamoff>(sections[header.e_shstrndx].sh_offset));
  if (!file.read(names.data(), static_cast<std::streamsize>(names.size()))) return;
  for (const auto& section : sections) {
    if (section.sh_name >= names.size() || !(section.sh_flags & SHF_ALLOC)) continue;
    if (std::string_view(names.c_str() + section.sh_name).starts_with(kSection))
      ranges.push_back({base + section.sh_addr, base + section.sh_addr + section.sh_size});
  }
}

int add_module(dl_phdr_info* module, std::size_t, void* ranges) {
  const std::string_view name = module->dlpi_name ? module->dlpi_name : "";
  add_sections(name.empty() ? "/proc/self/exe" : std::string(name), module->dlpi_addr,
               *static_cast<std::vector<Range>*>(ranges));
  return 0;
}

// Read once: modules with kernels that are opened later are not known.
const std::vector<Range>& variables() {
  static const std::vector<Range> ranges = [] {
    std::vector<Range> found;
    dl_iterate_phdr(add_module, &found);
    return found;
  }();
  return ranges;
}

char* dynamic_part() {
  static char* const begin = [] {
    void* p = mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) throw std::bad_alloc();
    return static_cast<char*>(p) + kRoom / 4;
  }();
  return begin;
}

// Not memset, which AddressSanitizer checks: between the variables are its red zones.
__attribute__((no_sanitize_address)) void fill(const Range& range) {
#if defined(__x86_64__)
  auto* to = reinterpret_cast<void*>(range.begin);
  std::size_t count = range.end - range.begin;
  asm volatile("rep stosb" : "+D"(to), "+c"(count) : "a"(0xFF) : "memory");
#else
  for (std::uintptr_t a = range.begin; a < range.end; ++a)
    *reinterpret_cast<volatile unsigned char*>(a) = 0xFF;
#endif
}

__attribute__((no_sanitize_address)) bool touched(const Range& range) {
  for (std::uintptr_t a = range.begin; a < range.end; ++a) {
    if (*reinterpret_cast<const volatile unsigned char*>(a) != 0xFF) return true;
  }
  return false;
}

// Those of variables() that the running launch writes, as far as its first block tells.
std::vector<Range>& in_use() {
  static std::vector<Range> ranges;
  return ranges;
}

}  // namespace

char* begin_block(std::size_t dynamic_bytes, std::uint64_t blocks_before) {
  char* dynamic = dynamic_part();
  if (blocks_before == 0) {
    sanitizer::poison(dynamic - kRoom / 4, kRoom);
    sanitizer::unpoison(dynamic, dynamic_bytes);
    for (const Range& range : variables()) fill(range);
  } else if (blocks_before == 1) {
    in_use().clear();
    for (const Range& range : variables()) {
      if (touched(range)) in_use().push_back(range);
    }
  }
  if (blocks_before > 0) {
    for (const Range& range : in_use()) fill(range);
  }
  std::memset(dynamic, 0xFF, dynamic_bytes);
  return dynamic;
}

Found find(std::uintptr_t address) {
  const auto ground = reinterpret_cast<std::uintptr_t>(dynamic_part()) - kRoom / 4;
  if (address - ground < kRoom) return {Place::dynamic_part, ground, ground + kRoom};
  for (const Range& range : variables()) {
    if (address - range.begin < range.end - range.begin) return {Place::variable, range.begin, range.end};
  }
  return {};
}

std::size_t static_bytes() {
  std::size_t bytes = 0;
  for (const Range& range : variables()) bytes += range.end - range.begin;
  return bytes;
}

}  // namespace rankine::emulator::shared_memory
