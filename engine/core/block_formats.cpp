#include "engine/core/block_formats.h"

#include <cstring>
#include <type_traits>

#include "engine/core/blocks_256.h"
#include "engine/core/blocks_32.h"
#include "engine/core/blocks_nf4.h"

namespace rankine {
namespace {

template <DType type, class Block, class F>
bool call(const F& f) {
  static_assert(sizeof(Block) == block_of(type).bytes && Block::kElements == block_of(type).elements);
  static_assert(std::is_trivially_copyable_v<Block>);
  f.template operator()<Block>();
  return true;
}

// Calls f.template operator()<Block>() with the struct of `type`; false when it is not a block type.
template <class F>
bool visit_block(DType type, const F& f) {
  using namespace blocks;
  switch (type) {
    case DType::q4_0:
      return call<DType::q4_0, Q4_0<Half>>(f);
    case DType::q4_1:
      return call<DType::q4_1, Q4_1<Half>>(f);
    case DType::q5_0:
      return call<DType::q5_0, Q5_0>(f);
    case DType::q5_1:
      return call<DType::q5_1, Q5_1>(f);
    case DType::q8_0:
      return call<DType::q8_0, Q8_0<Half>>(f);
    case DType::q2_k:
      return call<DType::q2_k, Q2K>(f);
    case DType::q3_k:
      return call<DType::q3_k, Q3K>(f);
    case DType::q4_k:
      return call<DType::q4_k, Q4K>(f);
    case DType::q5_k:
      return call<DType::q5_k, Q5K>(f);
    case DType::q6_k:
      return call<DType::q6_k, Q6K>(f);
    case DType::iq4_nl:
      return call<DType::iq4_nl, Iq4Nl>(f);
    case DType::q4_0_f32:
      return call<DType::q4_0_f32, Q4_0<float>>(f);
    case DType::q4_1_f32:
      return call<DType::q4_1_f32, Q4_1<float>>(f);
    case DType::q8_0_f32:
      return call<DType::q8_0_f32, Q8_0<float>>(f);
    case DType::nf4:
      return call<DType::nf4, Nf4>(f);
    case DType::nf4_dq:
      return call<DType::nf4_dq, Nf4Dq>(f);
    default:
      return false;
  }
}

// The number of blocks; throws for a part of one.
std::size_t whole_blocks(std::string_view op, DType type, std::size_t numbers) {
  require<ShapeError>(is_block(type), op, ": ", name_of(type), " is not a block type");
  const auto elements = static_cast<std::size_t>(block_of(type).elements);
  require<ShapeError>(numbers % elements == 0, op, ": ", name_of(type), " holds ", elements,
                      " numbers in a block, got ", numbers);
  return numbers / elements;
}

}  // namespace

void decode_blocks(DType type, const std::byte* blocks, std::span<float> out) {
  const std::size_t n = whole_blocks("decode_blocks", type, out.size());
  visit_block(type, [&]<class Block>() {
    for (std::size_t i = 0; i < n; ++i) {
      Block block;
      std::memcpy(&block, blocks + i * sizeof(Block), sizeof(Block));
      block.decode(out.data() + i * Block::kElements);
    }
  });
}

bool can_encode(DType type) {
  switch (type) {
    case DType::q4_0:
    case DType::q4_1:
    case DType::q5_0:
    case DType::q5_1:
    case DType::q8_0:
    case DType::nf4:
    case DType::nf4_dq:
      return true;
    default:
      return false;
  }
}

void encode_blocks(DType type, std::span<const float> values, std::byte* blocks) {
  require<ShapeError>(can_encode(type), "encode_blocks: no encoder for ", name_of(type));
  const std::size_t n = whole_blocks("encode_blocks", type, values.size());
  const auto put = [&](std::size_t i, const auto& block) {
    std::memcpy(blocks + i * sizeof(block), &block, sizeof(block));
  };
  if (type == DType::nf4_dq) return blocks::encode_nf4_dq(values, put);
  visit_block(type, [&]<class Block>() {
    if constexpr (requires(Block & b, const float* x) { b.encode(x); })
      for (std::size_t i = 0; i < n; ++i) {
        Block block{};
        block.encode(values.data() + i * Block::kElements);
        put(i, block);
      }
  });
}

}  // namespace rankine
