#include "io/text/spm_model.h"

#include <cmath>
#include <unordered_set>

#include "engine/core/error.h"
#include "io/text/protobuf.h"
#include "io/text/unicode.h"
#include "io/text/vocabulary_tokenizer.h"

namespace rankine {
namespace {

// Field numbers of ModelProto and of the messages in it.
namespace model_field {
constexpr std::uint32_t kPieces = 1, kTrainer = 2, kNormalizer = 3;
}
namespace piece_field {
constexpr std::uint32_t kText = 1, kScore = 2, kType = 3;
}
namespace trainer_field {
constexpr std::uint32_t kKind = 3, kVocabSize = 4, kSuffix = 24, kByteFallback = 35, kUnk = 40, kBos = 41,
                        kEos = 42, kPad = 43;
}
namespace normalizer_field {
constexpr std::uint32_t kName = 1, kCharsmap = 2, kDummyPrefix = 3, kExtraSpaces = 4, kEscape = 5;
}

Token read_piece(const ProtoField& message, std::size_t id, const std::string& file) {
  Token piece;
  ProtoReader reader(message.content, message.offset, file);
  for (ProtoField f; reader.next(f);) {
    if (f.number == piece_field::kText) piece.text = proto_bytes(f, file);
    if (f.number == piece_field::kScore) piece.score = proto_float(f, file);
    if (f.number != piece_field::kType) continue;
    const std::int32_t type = proto_int32(f, file);
    require<DataError>(type >= 1 && type <= 6, file, ": offset ", f.offset, ": piece ", id, " has the type ",
                       type, "; allowed are 1 to 6");
    piece.type = static_cast<TokenType>(type);
  }
  return piece;
}

void read_trainer(const ProtoField& message, SpmModel& model, const std::string& file) {
  ProtoReader reader(message.content, message.offset, file);
  for (ProtoField f; reader.next(f);) {
    switch (f.number) {
      case trainer_field::kKind: {
        const std::int32_t kind = proto_int32(f, file);
        require<DataError>(kind == 1 || kind == 2, file, ": offset ", f.offset, ": model type ", kind,
                           " (word or char); supported are 1 (unigram) and 2 (BPE)");
        model.kind = static_cast<SpmKind>(kind);
        break;
      }
      case trainer_field::kSuffix:
        require<DataError>(!proto_bool(f, file), file, ": offset ", f.offset,
                           ": treat_whitespace_as_suffix is not supported");
        break;
      case trainer_field::kByteFallback:
        model.byte_fallback = proto_bool(f, file);
        break;
      case trainer_field::kUnk:
        model.unk = proto_int32(f, file);
        break;
      case trainer_field::kBos:
        model.bos = proto_int32(f, file);
        break;
      case trainer_field::kEos:
        model.eos = proto_int32(f, file);
        break;
      case trainer_field::kPad:
        model.pad = proto_int32(f, file);
        break;
      default:
        break;
    }
  }
}

void read_normalizer(const ProtoField& message, SpmModel& model, const std::string& file) {
  ProtoReader reader(message.content, message.offset, file);
  for (ProtoField f; reader.next(f);) {
    if (f.number == normalizer_field::kName) model.normalizer = proto_bytes(f, file);
    if (f.number == normalizer_field::kCharsmap) model.charsmap = proto_bytes(f, file);
    if (f.number == normalizer_field::kDummyPrefix) model.add_dummy_prefix = proto_bool(f, file);
    if (f.number == normalizer_field::kExtraSpaces) model.remove_extra_whitespaces = proto_bool(f, file);
    if (f.number == normalizer_field::kEscape) model.escape_whitespaces = proto_bool(f, file);
  }
}

void check_piece(const Token& piece, std::size_t id, const std::string& file) {
  const auto refuse_unless = [&](bool ok, const auto&... what) {
    require<DataError>(ok, file, ": piece ", id, " ", shown_token(piece.text), " ", what...);
  };
  refuse_unless(!piece.text.empty(), "is empty");
  refuse_unless(piece.text.size() <= kMaxTokenBytes, "has ", piece.text.size(), " bytes; at most ",
                kMaxTokenBytes, " are allowed");
  refuse_unless(std::isfinite(piece.score), "has the score ", piece.score, "; it must be finite");
  check_utf8(piece.text, join(file, ": piece ", id));
  refuse_unless(piece.type != TokenType::byte || byte_of_piece(piece.text) >= 0,
                "is of type byte; expected is a text like '<0x0A>'");
}

}  // namespace

int byte_of_piece(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

std::string byte_piece(std::uint8_t byte) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
}

SpmModel byte_vocabulary() {
  SpmModel spm;
  spm.kind = SpmKind::bpe;
  spm.byte_fallback = true;
  spm.pieces = {
      {"<unk>", 0, TokenType::unknown}, {"<s>", 0, TokenType::control}, {"</s>", 0, TokenType::control}};
  for (int b = 0; b < 256; ++b)
    spm.pieces.push_back({byte_piece(static_cast<std::uint8_t>(b)), 0, TokenType::byte});
  return spm;
}

void check_spm_model(const SpmModel& model, const std::string& file) {
  std::unordered_set<std::string_view> texts;
  int unknowns = 0, bytes = 0;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const Token& piece = model.pieces[id];
    check_piece(piece, id, file);
    require<DataError>(texts.insert(piece.text).second, file, ": piece ", id, " ", shown_token(piece.text),
                       " is there twice");
    unknowns += piece.type == TokenType::unknown;
    bytes += piece.type == TokenType::byte;
  }
  require<DataError>(unknowns == 1, file, ": ", unknowns, " pieces of type unknown; exactly one is allowed");
  require<DataError>(!model.byte_fallback || bytes == 256, file, ": byte_fallback with ", bytes,
                     " byte pieces; all 256 are needed");
  for (const std::int32_t id : {model.unk, model.bos, model.eos, model.pad})
    require<DataError>(id >= -1 && id < static_cast<std::int64_t>(model.pieces.size()), file,
                       ": the special id ", id, " is outside of the ", model.pieces.size(), " pieces");
}

SpmModel read_spm_model(std::string_view bytes, const std::string& file) {
  SpmModel model;
  ProtoReader reader(bytes, 0, file);
  for (ProtoField f; reader.next(f);) {
    if (f.number > 3 || f.number < 1) continue;
    const std::string_view content = proto_bytes(f, file);
    f.offset = static_cast<std::size_t>(content.data() - bytes.data());  // of the message itself
    if (f.number == model_field::kPieces) model.pieces.push_back(read_piece(f, model.pieces.size(), file));
    if (f.number == model_field::kTrainer) read_trainer(f, model, file);
    if (f.number == model_field::kNormalizer) read_normalizer(f, model, file);
  }
  require<DataError>(!model.pieces.empty(), file, ": no SentencePiece model: it has no pieces");
  check_spm_model(model, file);
  return model;
}

std::string write_spm_model(const SpmModel& model) {
  check_spm_model(model, "SentencePiece model to write");
  std::string out, part;
  for (const Token& piece : model.pieces) {
    part.clear();
    write_proto_bytes(part, piece_field::kText, piece.text);
    write_proto_float(part, piece_field::kScore, piece.score);
    write_proto_varint(part, piece_field::kType, static_cast<int>(piece.type));
    write_proto_bytes(out, model_field::kPieces, part);
  }
  part.clear();
  write_proto_varint(part, trainer_field::kKind, static_cast<int>(model.kind));
  write_proto_varint(part, trainer_field::kVocabSize, static_cast<std::int64_t>(model.pieces.size()));
  write_proto_varint(part, trainer_field::kByteFallback, model.byte_fallback);
  write_proto_varint(part, trainer_field::kUnk, model.unk);
  write_proto_varint(part, trainer_field::kBos, model.bos);
  write_proto_varint(part, trainer_field::kEos, model.eos);
  write_proto_varint(part, trainer_field::kPad, model.pad);
  write_proto_bytes(out, model_field::kTrainer, part);
  part.clear();
  write_proto_bytes(part, normalizer_field::kName, model.normalizer);
  write_proto_bytes(part, normalizer_field::kCharsmap, model.charsmap);
  write_proto_varint(part, normalizer_field::kDummyPrefix, model.add_dummy_prefix);
  write_proto_varint(part, normalizer_field::kExtraSpaces, model.remove_extra_whitespaces);
  write_proto_varint(part, normalizer_field::kEscape, model.escape_whitespaces);
  write_proto_bytes(out, model_field::kNormalizer, part);
  return out;
}

}  // namespace rankine
